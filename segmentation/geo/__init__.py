"""Coordinates, grids, rasters and vector files: geometry that knows nothing of mines."""
