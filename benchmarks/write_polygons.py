"""From a year's joined polygons to files: countries, areas, order, GeoPackage, GeoParquet and FlatGeobuf."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.panel import mines
from benchmarks.timing import parser
from segmentation.core.process.cores import usable_cores
from segmentation.geo.countries import read_countries
from segmentation.geo.formats import FORMATS, write_polygons
from segmentation.geo.geopackage import Layer
from segmentation.predict.outlines.attributes import attribute_polygons

SIZES = (10_000, 50_000, 150_000)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "polygons", SIZES).parse_args(arguments)
    countries = read_countries()
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}\n")
    print("| polygons | attributes, s | gpkg, s | parquet, s | fgb, s | geopandas' to_file (gpkg), s |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in options.sizes:
        polygons = mines(count, 2019)[["mean_probability", "geometry"]]
        start = time.perf_counter()
        table = attribute_polygons(polygons, 2019, countries)
        seconds = [time.perf_counter() - start]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mines.gpkg"
            for name in FORMATS:
                start = time.perf_counter()
                write_polygons(path, Layer("mining_polygons", table, "Polygon", "mining_polygons"), {}, [name])
                seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            table.to_file(path.with_name("plain.gpkg"), layer="mining_polygons")
            seconds.append(time.perf_counter() - start)
        print(f"| {len(table):,} | " + " | ".join(f"{value:.1f}" for value in seconds) + " |", flush=True)


if __name__ == "__main__":
    main()
