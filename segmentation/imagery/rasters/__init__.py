"""Raster files of any kind: what they say of themselves, and their values on a chip's pixels."""
