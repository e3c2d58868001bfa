"""A procedural tropical landscape in which mines open, grow and are abandoned."""
