"""Small panels with a known truth: squares in degrees, one metre-like unit at a time, near the equator."""

import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.geo.areas import area_m2
from segmentation.panel.__main__ import arguments, main
from segmentation.panel.change import follow_sites
from segmentation.panel.observed import Observed, observed_share
from segmentation.panel.sites import count_sightings, find_sites
from segmentation.panel.temporal import consecutive_overlaps

UNIT = 0.001  # degrees, about 111 m
NOTHING_KNOWN = Observed(gpd.GeoDataFrame({"year": []}, geometry=[], crs="EPSG:4326"), frozenset())


def square(x, y=0.0, width=1.0, height=1.0):
    """A rectangle with its south-west corner at ``x, y``, in units."""
    return shapely.box(x * UNIT, y * UNIT, (x + width) * UNIT, (y + height) * UNIT)


WORLD = gpd.GeoDataFrame(
    {"iso_a3": ["GAB"], "country_name": ["Gabon"]}, geometry=[square(-9e3, -9e3, 2e4, 2e4)], crs=4326
)


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["panel", *map(str, words)])
    return main(arguments())


def panel(shapes_by_year):
    """The table that ``inputs.read_panel`` gives, from ``{year: [polygon, ...]}``."""
    rows = [(k, year, shape) for year, shapes in sorted(shapes_by_year.items()) for k, shape in enumerate(shapes, 1)]
    ids, years, shapes = zip(*rows, strict=True)
    frame = gpd.GeoDataFrame(
        {"id": ids, "iso_a3": "GAB", "country_name": "Gabon", "year": np.array(years, dtype="int32")},
        geometry=list(shapes),
        crs="EPSG:4326",
    )
    return frame.assign(area=area_m2(frame.geometry), mean_probability=0.9)


def sight(polygons, years, observed=NOTHING_KNOWN):
    """Overlaps, and the sightings of a panel's sites."""
    shapes, year = polygons.geometry.to_numpy(), polygons["year"].to_numpy()
    overlaps = consecutive_overlaps(shapes, year, years)
    sites = find_sites(polygons, overlaps)
    share = observed_share(sites.places, observed, years)
    return overlaps, count_sightings(polygons, tuple(years), sites, share)


def as_they_are(changes):
    """Keeps all changes in memory; worker processes find it, too."""
    return changes


def follow(polygons, years, observed=NOTHING_KNOWN):
    """Overlaps, history, and all changes of a panel."""
    overlaps, sightings = sight(polygons, years, observed)
    history, pieces = follow_sites(polygons, sightings, as_they_are)
    return overlaps, history, pd.concat(pieces, ignore_index=True) if pieces else None


def ragged(rng, count, spread=30.0, corners=12):
    """Ragged blobs of about two units, strewn so densely over a field that many touch."""
    centre = rng.uniform(0, spread, (count, 2))
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = rng.uniform(0.4, 1.6, (count, corners))
    rings = centre[:, None] + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return list(shapely.polygons(rings * UNIT))


def write_years(folder, shapes_by_year, suffix=".gpkg", crs="EPSG:4326", **columns):
    """A file a year from ``{year: [polygon, ...]}``; returns the values of ``--inputs``."""
    named = []
    for year, shapes in shapes_by_year.items():
        path = Path(folder) / f"mines_{year}{suffix}"
        gpd.GeoDataFrame(columns, geometry=list(shapes), crs="EPSG:4326").to_crs(crs).to_file(path)
        named.append(f"{year}={path}")
    return named
