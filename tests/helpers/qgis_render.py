"""Run under QGIS' own Python: open one layer, print what QGIS made of it as JSON, draw it to a PNG.

Usage: qgis_render.py GEOPACKAGE LAYER YEAR OUT.png
"""

import json
import os
import sys

from qgis.core import (
    QgsApplication,
    QgsDateTimeRange,
    QgsFeatureRequest,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsRectangle,
    QgsVectorLayer,
    QgsVectorLayerTemporalContext,
)
from qgis.PyQt.QtCore import QDate, QDateTime, QSize
from qgis.PyQt.QtGui import QColor


def midnight(year):
    return QDateTime(QDate(year, 1, 1))


def shown_in(layer, year):
    """Years of the polygons that a frame of the temporal controller, one year long, would show."""
    context = QgsVectorLayerTemporalContext()
    context.setLayer(layer)
    frame = QgsDateTimeRange(midnight(year), midnight(year + 1), True, False)
    expression = layer.temporalProperties().createFilterString(context, frame)
    rows = layer.getFeatures(QgsFeatureRequest().setFilterExpression(expression))
    return sorted({row["year"] for row in rows})


def draw(layer, path):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent() if layer.featureCount() else QgsRectangle(0, 0, 1, 1))
    settings.setOutputSize(QSize(800, 600))
    settings.setOutputDpi(192)  # outlines of several pixels, whose colours can be told
    settings.setBackgroundColor(QColor("white"))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(path)
    return [error.message for error in job.errors()]


def main(geopackage, name, year, png):
    application = QgsApplication([], False)
    application.initQgis()
    layer = QgsVectorLayer(f"{geopackage}|layername={name}", name, "ogr")
    styled_on_opening = layer.renderer().type()
    # The desktop loads the default style once more after adding a layer. It needs to: the constructor loads it
    # and then sets the temporal properties back.
    layer.loadDefaultStyle()
    layer.loadDefaultMetadata()
    temporal = layer.temporalProperties()
    report = {
        "valid": layer.isValid(),
        "features": layer.featureCount(),
        "renderer": styled_on_opening,
        "legend": [item.label() for item in layer.renderer().legendSymbolItems()],
        "abstract": layer.dataProvider().layerMetadata().abstract(),
        "map_tip": layer.mapTipTemplate(),
        "temporal": temporal.isActive(),
        "temporal_mode": int(temporal.mode()),
        "temporal_fields": [temporal.startField(), temporal.endField()],
        "shown": shown_in(layer, year) if temporal.isActive() else None,
        "errors": draw(layer, png),
    }
    print(json.dumps(report))
    sys.stdout.flush()
    os._exit(0)  # QGIS' teardown crashes at random in scripts


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
