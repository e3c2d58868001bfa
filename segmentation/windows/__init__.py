"""Where to look: squares around polygons on the grid, their splits, and the record of what was seen.

``plan`` and ``splits`` come before any pixel is read; ``ground``, ``cautions`` and ``record`` say what came of it.
"""
