"""Where to look: squares around polygons on the grid, their splits, and the record of what was seen."""
