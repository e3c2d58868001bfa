"""A year's chips to probabilities and polygons."""
