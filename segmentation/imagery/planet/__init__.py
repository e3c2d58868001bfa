"""Imagery from Planet's basemaps, quad by quad."""
