"""Imagery from any STAC API: a cloud-masked median of the least cloudy scenes of a season, window by window."""
