"""The demo's input of step 1: its literature polygons as a file in the demo's workspace."""

from __future__ import annotations

from pathlib import Path

from segmentation.core.provenance import INVENTED, SYNTHETIC
from segmentation.geo.geopackage import Layer, write_geopackage


def write_demo_polygons(path: Path) -> None:
    """Write the demo's literature polygons to a GeoPackage (EPSG:4326), unless it is there already."""
    if path.exists():
        return
    from segmentation.demo.landscape.sites import literature_polygons

    metadata = {"title": "invented mining polygons of the built-in demo", SYNTHETIC: INVENTED}
    write_geopackage(path, [Layer("mining_polygons_combined", literature_polygons())], metadata)
