"""Mapping mining areas from satellite imagery: polygons to chips, chips to predictions, predictions to polygons."""

from segmentation.core.process.locales import ignore_case_in_ascii

# Before any module loads GDAL, in worker processes too.
ignore_case_in_ascii()
