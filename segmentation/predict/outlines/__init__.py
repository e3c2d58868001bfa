"""Probabilities to polygons: traced, joined where windows overlap, described."""
