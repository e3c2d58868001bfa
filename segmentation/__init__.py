"""Mapping mining areas from satellite imagery: polygons to chips, chips to predictions, predictions to polygons."""
