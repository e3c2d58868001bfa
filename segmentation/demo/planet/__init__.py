"""A local server that speaks Planet's API and serves the landscape as quads."""
