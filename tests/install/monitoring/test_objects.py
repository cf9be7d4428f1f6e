"""The objects for Prometheus' operator and Grafana's sidecar."""

import json

from isthmus.api.isthmus import MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.install.hub import HubOptions, hub_manifests
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.install.monitoring.alerts import rules
from isthmus.install.monitoring.dashboard import dashboard
from isthmus.install.monitoring.objects import monitoring_manifests
from isthmus.install.workloads import METRICS_PORT


def test_all_are_where_they_were_asked_for_with_the_labels_that_were_asked_for() -> None:
    made = monitoring_manifests("watch", {"release": "prometheus"})
    assert [(each["kind"], each["metadata"]["namespace"]) for each in made] == [
        ("PodMonitor", "watch"),
        ("PrometheusRule", "watch"),
        ("ConfigMap", "watch"),
    ]
    assert all(each["metadata"]["labels"]["release"] == "prometheus" for each in made)
    _, rule, config = made
    assert rule["spec"] == rules()
    assert json.loads(config["data"]["isthmus.json"]) == dashboard()
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_every_pod_of_ours_is_scraped() -> None:
    monitor = monitoring_manifests("watch", {})[0]["spec"]
    assert set(monitor["namespaceSelector"]["matchNames"]) == {SYSTEM_NAMESPACE, MEMBERS_NAMESPACE}
    (wanted,) = monitor["selector"]["matchExpressions"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    manifests = (*hub_manifests(HubOptions("prod")), *member_manifests(MemberOptions("prod", "east", "{}")))
    workloads = [each for each in manifests if each["kind"] == "Deployment"]
    assert len(workloads) == 3
    for each in workloads:
        pod = each["spec"]["template"]
        assert wanted["key"] in pod["metadata"]["labels"]
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert ports[endpoint["port"]] == METRICS_PORT
