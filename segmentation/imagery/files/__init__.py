"""Imagery from raster files of the user's own."""
