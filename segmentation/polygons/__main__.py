"""The mining polygons of the literature: ``python -m segmentation.polygons combine MAUS TANG_WERNER``."""

from segmentation.polygons import combine

if __name__ == "__main__":
    combine.run()
