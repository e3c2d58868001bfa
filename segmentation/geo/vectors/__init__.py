"""Vector files of any kind, read as valid polygons in degrees."""
