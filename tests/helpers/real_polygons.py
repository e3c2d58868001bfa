"""Polygons of the literature, where they lie beside the repository."""

from segmentation.core.workspace import REPOSITORY

REAL_POLYGONS = REPOSITORY.parent / "shared" / "data" / "mining_polygons_combined_demo.gpkg"
