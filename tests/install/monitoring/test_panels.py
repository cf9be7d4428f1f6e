"""Panels: what they ask for is PromQL, and their legends have labels that the answers have."""

import re

import pytest
from promql_parser import parse

from isthmus.install.monitoring.panels import ROWS, Panel
from tests.install.monitoring.promql import TARGET, result_labels

PANELS = [panel for row in ROWS for panel in row.panels]


def asked(expr: str) -> str:
    """As Grafana sends it, with everything chosen."""
    sent = expr.replace("$__rate_interval", "2m").replace("$set", ".*").replace("$member", ".*")
    assert "$" not in sent
    return sent


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_asks_in_promql_and_its_legend_has_labels_of_the_answer(panel: Panel) -> None:
    for query in panel.queries:
        labels = result_labels(parse(asked(query.expr)))
        named = set(re.findall(r"{{(\w+)}}", query.legend))
        assert named <= labels
        # A series that the legend does not tell from another would hide behind it.
        assert labels - named <= (TARGET if labels == TARGET else {"le", "set"}), panel.title
