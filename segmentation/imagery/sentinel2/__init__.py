"""Imagery from Sentinel-2's quarterly cloudless mosaics, tile by tile."""
