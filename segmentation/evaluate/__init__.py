"""How good is a model: predictions against masks or any polygons, by pixels and objects, with their uncertainty."""
