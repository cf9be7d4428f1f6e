"""The panels as one dashboard of Grafana.

Grafana, "Dashboard JSON model".
"""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.install.monitoring.panels import ROWS, Panel, Query, Row

UID: Final = "isthmus"
_SCHEMA: Final = 39
_WIDTH: Final = 24
_HEIGHT: Final = 7
_SOURCE: Final[Manifest] = {"type": "prometheus", "uid": "${datasource}"}
_GREEN, _RED = "green", "red"


def dashboard() -> Manifest:
    """The model that Grafana imports; it asks for the data source there."""
    return {
        "uid": UID,
        "title": "Isthmus",
        "tags": ["isthmus", "kubernetes"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_laid_out(ROWS)),
    }


def _variables() -> Iterator[Manifest]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    chosen: Manifest = {
        "type": "query",
        "datasource": _SOURCE,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }
    for name, label, query in (
        ("set", "Cluster set", "label_values(isthmus_build_info, set)"),
        ("member", "Member", 'label_values(isthmus_build_info{set=~"$set"}, member)'),
    ):
        yield {"name": name, "label": label, "query": query} | chosen


def _laid_out(rows: Iterable[Row]) -> Iterator[Manifest]:
    """From left to right and from top to bottom, as panels fit."""
    ids = count(1)
    top = 0
    for row in rows:
        yield {
            "id": next(ids),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1},
            "panels": [],
        }
        top, left = top + 1, 0
        for panel in row.panels:
            if left + panel.width > _WIDTH:
                top, left = top + _HEIGHT, 0
            place = {"x": left, "y": top, "w": panel.width, "h": _HEIGHT}
            yield _panel(panel) | {"id": next(ids), "gridPos": place}
            left += panel.width
        top += _HEIGHT


def _panel(panel: Panel) -> Manifest:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "targets": [_target(query, panel.kind, letter) for query, letter in zip(panel.queries, "ABCD", strict=False)],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0} | _colours(panel), "overrides": []},
        "options": _OPTIONS.get(panel.kind, {}),
    } | _TRANSFORMED.get(panel.kind, {})


def _target(query: Query, kind: str, letter: str) -> Manifest:
    made: Manifest = {"refId": letter, "datasource": _SOURCE, "expr": query.expr, "legendFormat": query.legend}
    return made | _ASKED.get(kind, {"range": True})


def _colours(panel: Panel) -> Manifest:
    steps: list[Manifest] = [{"color": _GREEN, "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": _RED, "value": panel.bad_from})
    if panel.kind == "state-timeline":
        steps = [{"color": _RED, "value": None}, {"color": _GREEN, "value": 1}]
    mode = "palette-classic" if panel.kind == "timeseries" else "thresholds"
    return {"color": {"mode": mode}, "thresholds": {"mode": "absolute", "steps": steps}}


# By kind of panel.
_ASKED: Final[dict[str, Manifest]] = {"table": {"format": "table", "instant": True}, "stat": {"instant": True}}
_OPTIONS: Final[dict[str, Manifest]] = {
    "stat": {
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "value_and_name",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "state-timeline": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
        "showValue": "never",
        "mergeValues": True,
        "rowHeight": 0.9,
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}
_TRANSFORMED: Final[dict[str, Manifest]] = {
    "table": {
        "transformations": [
            {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}},
        ]
    }
}
