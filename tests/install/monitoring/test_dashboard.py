"""The model that Grafana imports."""

import json
from itertools import combinations

from isthmus.install.monitoring.dashboard import dashboard
from isthmus.install.monitoring.panels import ROWS


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[side] < other[side] + other[size] and other[side] < one[side] + one[size]
        for side, size in (("x", "w"), ("y", "h"))
    )


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len(panels) == len(ROWS) + sum(len(row.panels) for row in ROWS)
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_a_row_stands_above_its_panels() -> None:
    kinds = [panel["type"] for panel in sorted(dashboard()["panels"], key=lambda p: (p["gridPos"]["y"], p["id"]))]
    assert kinds == [panel["type"] for panel in dashboard()["panels"]]
    assert kinds.count("row") == len(ROWS)


def test_every_query_asks_the_data_source_that_was_chosen() -> None:
    model = dashboard()
    assert json.loads(json.dumps(model)) == model
    names = [variable["name"] for variable in model["templating"]["list"]]
    assert names == ["datasource", "set", "member"]
    for panel in model["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert target["expr"]
        assert len({target["refId"] for target in panel.get("targets", [])}) == len(panel.get("targets", []))
