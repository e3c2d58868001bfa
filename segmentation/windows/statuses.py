"""What has become of a window, as ``windows.gpkg`` says it.

Apart from ``record``, since worker processes that cut windows need neither geopandas nor the time that it takes to
load. What the imagery lacks is told by ``imagery.cache``.
"""

WRITTEN = "written"
TOO_LITTLE_DATA = "too little data"
