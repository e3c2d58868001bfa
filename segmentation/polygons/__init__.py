"""Mining polygons of the literature: two data sets united, read, repaired, named."""
