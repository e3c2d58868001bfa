"""All years as one dataset: ``python -m segmentation.panel -model=MODEL -iter=N``.

Filters the polygons by their neighbouring years, follows every mine through them, sets it against what was looked at,
and writes a GeoPackage that QGIS plays, tables, a plot and a map for the browser. Needs no model, no network, no key.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np

from segmentation.core import cli
from segmentation.core.arguments import Number, Together, a_folder, a_path, shown
from segmentation.core.errors import PipelineError
from segmentation.core.provenance import marked
from segmentation.core.workspace import Workspace
from segmentation.geo.countries import read_countries
from segmentation.panel.change import follow_sites
from segmentation.panel.draw.plot import plot_countries
from segmentation.panel.draw.webmap import write_map
from segmentation.panel.inputs import YearInput, find_run_name, read_panel, year_inputs
from segmentation.panel.layers import changes_on_disk, write_panel, write_year
from segmentation.panel.making import Making, read_making
from segmentation.panel.observed import Observed, observed_share, read_observed
from segmentation.panel.report import say_filter, say_input, say_notes, say_panel
from segmentation.panel.sites import count_sightings, find_sites, site_years
from segmentation.panel.tables import add_descent, country_years, sites_table, write_table
from segmentation.panel.temporal import confirmed, consecutive_neighbours, consecutive_overlaps, year_rows

_FROM_FILES = "files"
_metres = Number(0, 100_000)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.workspace_options(cli.Parser(prog="python -m segmentation.panel", description=__doc__))
    parser.add_argument("-model", "--model", metavar="NAME", help="a model's name, or a part of it that fits one alone")
    parser.add_argument(
        "-iter",
        "--iter",
        type=cli.iterations,
        metavar="N",
        help="training iterations (default: of the only run that fits)",
    )
    parser.add_argument(
        "--years",
        type=cli.years,
        nargs="+",
        action=Together,
        default=[],
        metavar="YEARS",
        help="such as 2016-2024, 2016 2018-2020 or 2016,2019 (default: all there are)",
    )
    parser.add_argument(
        "--inputs",
        type=_year_file,
        nargs="+",
        default=[],
        metavar="YEAR=FILE",
        help="or YEAR=FILE:LAYER; polygons, instead of -model's",
    )
    parser.add_argument(
        "--windows", type=_year_file, nargs="+", default=[], metavar="YEAR=FILE", help="windows.gpkg of --inputs' years"
    )
    parser.add_argument(
        "--buffer", type=_metres, default=0.0, metavar="METRES", help="let the filter reach as far (default: 0)"
    )
    parser.add_argument(
        "--no-filter", action="store_true", help="keep what no neighbouring year confirms (default: no)"
    )
    parser.add_argument(
        "--mixed",
        action="store_true",
        help="join years of another model, threshold, outline, overlap rule or imagery (default: refuse)",
    )
    parser.add_argument(
        "--countries", type=a_path, metavar="FILE", help="country borders (default: Natural Earth 1:10m)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=a_folder,
        metavar="FOLDER",
        help="(default: segmentation/panel/<model run> in the workspace)",
    )
    return parser


def arguments() -> argparse.Namespace:
    """What was typed."""
    return parser().parse_args()


def main(options: argparse.Namespace) -> int:
    """Read the years, filter them, connect polygons to sites and follow these through the years; then write it all."""
    workspace = cli.workspace(options)
    run, inputs = _chosen_inputs(options, workspace)
    years = tuple(source.year for source in inputs)
    making = read_making(inputs, mixed=options.mixed, demo=options.demo)
    folder = options.output or workspace.panel(run or _FROM_FILES)
    countries = read_countries(options.countries)

    polygons, accounts = read_panel(inputs, countries)
    observed = read_observed(inputs, quiet=options.quiet)
    say_input(inputs, accounts, options.years)
    say_notes((*making.notes, *observed.notes))

    polygons, overlaps = _filter_polygons(polygons, years, observed, options)
    of_panel = _metadata(options, inputs, run)
    metadata = making.metadata | of_panel
    # Ahead of what takes long: a year that another command is writing is refused here.
    written = _write_years(workspace, run, folder, inputs, polygons, making, of_panel)

    sites = find_sites(polygons, overlaps)
    share = observed_share(sites.places, observed, years)
    sightings = count_sightings(polygons, years, sites, share)
    with changes_on_disk(folder) as keep:
        history, changes = follow_sites(polygons, sightings, keep)
        site_table = sites_table(polygons, history, overlaps)
        by_country = country_years(polygons, history, observed, countries)

        geopackage, plot, webmap = folder / "panel.gpkg", folder / "area_by_year.png", folder / "map.html"
        write_panel(
            geopackage,
            polygons=add_descent(polygons, sites, overlaps),
            changes=changes,
            sites=site_table,
            observed=observed.areas,
            metadata=metadata,
        )
    written += [geopackage, plot, webmap]
    written += write_table(folder / "country_years", by_country, metadata)
    written += write_table(folder / "site_years", site_years(history), metadata)
    plot_countries(by_country, plot, marked("", making.synthetic))
    write_map(
        webmap,
        polygons=polygons,
        sites=site_table,
        history=history,
        by_country=by_country,
        countries=countries,
        synthetic=making.synthetic,
    )
    say_panel(polygons, history, by_country=by_country, sites=site_table, written=written)
    return cli.DONE


def _chosen_inputs(options: argparse.Namespace, workspace: Workspace) -> tuple[str | None, list[YearInput]]:
    """The model run's name, None with ``--inputs``, and the files of every year, ascending."""
    if bool(options.inputs) == bool(options.model):
        raise PipelineError("which polygons? give either -model=NAME (and -iter=N) or --inputs YEAR=FILE ...")
    if options.windows and not options.inputs:
        raise PipelineError("--windows goes with --inputs; with -model the workspace's windows.gpkg are taken")
    run = None if options.inputs else find_run_name(workspace, options.model, options.iter)
    wanted = options.years
    inputs = _named_inputs(options) if run is None else year_inputs(workspace, run, wanted)
    if not inputs:
        raise PipelineError(f"no polygons of {wanted}; leave --years out to take every year there is")
    if len(inputs) == 1 and not options.no_filter:
        raise PipelineError(f"{inputs[0].year} alone has no neighbouring year to confirm it; add years or --no-filter")
    return run, inputs


def _named_inputs(options: argparse.Namespace) -> list[YearInput]:
    """The files that ``--inputs`` and ``--windows`` name, of the years wanted (none named: of all), ascending."""
    windows = _by_year(options.windows, "--windows")
    polygons = _by_year(options.inputs, "--inputs")
    years = [year for year in sorted(polygons) if not options.years or year in options.years]
    return [YearInput(year, polygons[year], windows.get(year)) for year in years]


def _by_year(files: Sequence[tuple[int, Path]], option: str) -> dict[int, Path]:
    named = dict(files)
    if len(named) < len(files):
        raise PipelineError(f"{option} names a year twice; unite its files first")
    return named


def _filter_polygons(
    polygons: gpd.GeoDataFrame, years: tuple[int, ...], observed: Observed, options: argparse.Namespace
) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """The polygons that stay, and those pairs of their rows, of consecutive years, that intersect."""
    shapes, year = polygons.geometry.to_numpy(), polygons["year"].to_numpy()
    overlaps = consecutive_overlaps(shapes, year, years)
    if options.no_filter:
        print("temporal filter: none")
        return polygons, overlaps
    pairs = consecutive_neighbours(shapes, year, years, options.buffer) if options.buffer else overlaps
    stays = confirmed(len(polygons), pairs)
    say_filter(polygons, years, stays, observed, options.buffer)
    if not stays.any():
        raise PipelineError("no polygon is confirmed by a neighbouring year; try --buffer METRES or --no-filter")
    # Polygons that intersect confirm each other: none of the overlaps loses a side.
    number = np.cumsum(stays) - 1
    return polygons[stays].reset_index(drop=True), number[overlaps]


def _write_years(
    workspace: Workspace,
    run: str | None,
    folder: Path,
    inputs: Sequence[YearInput],
    polygons: gpd.GeoDataFrame,
    making: Making,
    of_panel: dict[str, str],
) -> list[Path]:
    """A file a year with the published columns: beside step 3's, or in the panel's folder.

    Each says how its own year was made, and what the panel has added (``of_panel``).
    """
    written = []
    rows = year_rows(polygons["year"].to_numpy(), tuple(source.year for source in inputs))
    for source in inputs:
        table = polygons.iloc[rows[source.year]]
        metadata = making.of_year(source.year) | of_panel
        if run is None:
            target = folder / f"global_mining_polygons_{source.year}_postprocessed.gpkg"
            write_year(target, table, metadata)
        else:
            year = workspace.year(source.year)
            target = year.postprocessed(run)
            with year.locked():
                write_year(target, table, metadata)
        written.append(target)
    return written


def _metadata(options: argparse.Namespace, inputs: Sequence[YearInput], run: str | None) -> dict[str, str]:
    years = ", ".join(str(source.year) for source in inputs)
    rule = "none" if options.no_filter else f"previous or next year of {years}, within {options.buffer:g} m"
    return {"temporal filter": rule, "panel of": run or "the user's files", "panel years": years}


def _year_file(text: str) -> tuple[int, Path]:
    """An argparse type: ``2016=FILE``."""
    year, equals, path = text.partition("=")
    if not (equals and path):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not YEAR=FILE, such as 2016=mines_2016.gpkg")
    return cli.year(year), Path(path)


if __name__ == "__main__":
    cli.run(main, arguments())
