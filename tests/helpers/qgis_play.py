"""Run under QGIS' own Python: play a layer as the temporal controller does, a frame a year, each to a PNG.

Usage: qgis_play.py GEOPACKAGE LAYER YEAR.png ...
"""

import json
import os
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsDateTimeRange,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QDate, QDateTime, QSize
from qgis.PyQt.QtGui import QColor


def draw(layer, year, path):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(800, 600))
    settings.setOutputDpi(192)
    settings.setBackgroundColor(QColor("white"))
    settings.setIsTemporal(True)
    first, last = (QDateTime(QDate(y, 1, 1)) for y in (year, year + 1))
    settings.setTemporalRange(QgsDateTimeRange(first, last, True, False))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(path)
    return [error.message for error in job.errors()]


def main(geopackage, name, pngs):
    application = QgsApplication([], False)
    application.initQgis()
    layer = QgsVectorLayer(f"{geopackage}|layername={name}", name, "ogr")
    layer.loadDefaultStyle()  # as the desktop does after adding a layer
    temporal = layer.temporalProperties()
    report = {
        "features": layer.featureCount(),
        "temporal": temporal.isActive(),
        "fields": [temporal.startField(), temporal.endField()],
        "legend": [item.label() for item in layer.renderer().legendSymbolItems()],
        "errors": [error for png in pngs for error in draw(layer, int(Path(png).stem), png)],
    }
    print(json.dumps(report))
    sys.stdout.flush()
    os._exit(0)  # QGIS' teardown crashes at random in scripts


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
