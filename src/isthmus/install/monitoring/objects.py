"""The same for clusters whose Prometheus and Grafana are told by objects: rules, what to scrape, a dashboard.

Prometheus Operator, `monitoring.coreos.com/v1`; Grafana's chart, "Sidecar for dashboards".
"""

import json
from collections.abc import Mapping
from typing import Final

from isthmus.api.isthmus import MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.install.monitoring.alerts import rules
from isthmus.install.monitoring.dashboard import dashboard
from isthmus.install.workloads import NAME_LABEL

_NAME: Final = "isthmus"
_OPERATOR: Final = "monitoring.coreos.com/v1"
# The label that the sidecar looks for.
_DASHBOARD_LABEL: Final = "grafana_dashboard"
# Nothing but ours runs there: agents that live beside the hub, and all others.
_NAMESPACES: Final = [SYSTEM_NAMESPACE, MEMBERS_NAMESPACE]


def monitoring_manifests(namespace: str, labels: Mapping[str, str]) -> tuple[Manifest, ...]:
    """What to scrape, the alerts and the dashboard, in that namespace; `labels` are what an operator selects by."""

    def made(api_version: str, kind: str, more: Mapping[str, str], **rest: object) -> Manifest:
        metadata = {"name": _NAME, "namespace": namespace, "labels": {NAME_LABEL: _NAME} | dict(more) | dict(labels)}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}

    scraped = {
        "namespaceSelector": {"matchNames": _NAMESPACES},
        "selector": {"matchExpressions": [{"key": NAME_LABEL, "operator": "Exists"}]},
        "podMetricsEndpoints": [{"port": "metrics", "interval": "30s"}],
    }
    files = {"isthmus.json": json.dumps(dashboard(), indent=2) + "\n"}
    return (
        made(_OPERATOR, "PodMonitor", {}, spec=scraped),
        made(_OPERATOR, "PrometheusRule", {}, spec=rules()),
        made("v1", "ConfigMap", {_DASHBOARD_LABEL: "1"}, data=files),
    )
