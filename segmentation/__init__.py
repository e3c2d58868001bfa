"""Mapping mining areas from satellite imagery, year by year.

The folders, in the order of the flow:

- ``polygons``: the mining polygons of the literature, united, repaired and named.
- ``windows``: squares around the polygons on the imagery's pixel grid, their splits, and the record of what was seen.
- ``imagery``: where pixels come from: Planet, Sentinel-2, any STAC API, files of the user's own.
- ``chips``: windows as images and masks of 512 x 512 pixels, a dataset as MMSegmentation reads it.
- ``train``: a model that learns from the chips of the label year.
- ``predict``: a year's chips to probabilities, and probabilities to polygons.
- ``evaluate``: how good the model is, by pixels and by objects, with its uncertainty.
- ``panel``: the polygons of all years as one: which mine opened when, and how it grew.
- ``overview``: a picture of what was seen and found.

All of them stand on ``core`` (command lines, files, processes) and ``geo`` (coordinates, rasters, vector files), and
``demo`` is a synthetic landscape to try them on. A folder imports from those before it, never from those after it.
"""

from segmentation.core.process.locales import ignore_case_in_ascii

# Before any module loads GDAL, in worker processes too.
ignore_case_in_ascii()
