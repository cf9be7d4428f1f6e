"""What a Service asks of its traffic happens to the traffic of the whole set, as kube-proxy would have it happen."""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.effects.conftest import NAMESPACE, NOBODY, Stage, service, service_export
from tests.end_to_end.conftest import eventually

BOTH = {"east", "west"}


@pytest.mark.requirement("MCS-10", "MCS-30", "MCS-31", "MCS-45")
def test_requests_are_spread_over_all_exporters_from_everywhere(stage: Stage) -> None:
    stage.offer("spread", "east", "west")
    for where in BOTH:
        stage.wait_asked(where, "spread", BOTH)
        assert all(count >= 5 for count in stage.asked(where, "spread", times=40).values())


@pytest.mark.requirement("MCS-7", "MCS-9")
def test_names_of_the_cluster_itself_lead_to_its_own_pods_as_before(stage: Stage) -> None:
    before = local_objects(stage)
    stage.apply("east", service_export("who"))
    stage.wait_exporters("who", ("east",))
    stage.wait_asked("west", "who", {"east"})
    for where in BOTH:
        assert set(stage.asked(where, "who", zone="cluster.local")) == {where}
    assert local_objects(stage) == before
    stage.isthmus.kubectl_well("east", "delete", "svcex", "who", "-n", NAMESPACE)
    stage.wait_exporters("who", ())


def local_objects(stage: Stage) -> dict[str, str]:
    """The Service of east and its slices, with their versions."""
    words = ("get", "svc,endpointslices", "-n", NAMESPACE, "-o", "json")
    items = json.loads(stage.isthmus.kubectl_well("east", *words))["items"]
    own = [item["metadata"] for item in items if item["metadata"]["name"].startswith("who")]
    own = [each for each in own if "multicluster.kubernetes.io/service-name" not in each.get("labels", {})]
    return {each["uid"]: each["resourceVersion"] for each in own}


def wait_ready_says(stage: Stage, where: str, name: str, words: str) -> None:
    eventually(lambda: words in stage.ready(where, name), f"{name} in {where} says {words}")


# Seconds that a client stays with its backend.
STAYS = 4.0


@dataclass(frozen=True)
class Request:
    """Begun and ended in seconds since 1970, and who answered."""

    began: float
    ended: float
    who: str


@pytest.mark.requirement("MCS-39")
def test_a_client_stays_with_one_backend_until_it_was_away_for_its_time(stage: Stage) -> None:
    config = {"clientIP": {"timeoutSeconds": int(STAYS)}}
    stage.offer("sticky", "east", "west", sessionAffinity="ClientIP", sessionAffinityConfig=config)
    eventually(lambda: two_backends(stage, "west", "sticky"), "both clusters' endpoints are there")
    # Coming back within its time, over and over, the client keeps its backend for longer than that.
    asked = requests(stage, "west", "sticky", pauses=(*[0.0] * 20, *[1.0] * 6, STAYS + 0.5, *[0.0] * 5))
    stays, goes = 0.0, 0
    for before, after in pairwise(asked):
        if after.ended - before.began < STAYS:
            assert after.who == before.who, "within its time the client is led to its backend again"
            stays += after.began - before.ended
        elif after.began - before.ended > STAYS:
            assert {before.who, after.who} == BOTH, "after its time the client is led elsewhere"
            goes += 1
    assert stays > STAYS
    assert goes >= 1


def requests(stage: Stage, where: str, name: str, pauses: Sequence[float]) -> list[Request]:
    """One request after each pause (seconds), over connections of their own; a busy machine makes pauses longer."""
    ask = f"curl -sf --max-time 2 http://{name}.{NAMESPACE}.svc.clusterset.local/"
    once = f"sleep $pause; began=$(date +%s.%N); who=$({ask}) && echo $began $(date +%s.%N) $who"
    lines = stage.inside(where, f"for pause in {' '.join(map(str, pauses))}; do {once}; done").splitlines()
    words = [line.split() for line in lines]
    return [Request(float(began), float(ended), who) for began, ended, who in words]


def two_backends(stage: Stage, where: str, name: str) -> bool:
    labels = f"multicluster.kubernetes.io/service-name={name}"
    words = ("get", "endpointslices", "-n", NAMESPACE, "-l", labels, "-o", "json")
    found = json.loads(stage.isthmus.kubectl_well(where, *words))["items"]
    sources = [item["metadata"]["labels"]["multicluster.kubernetes.io/source-cluster"] for item in found]
    return set(sources) == BOTH


@pytest.mark.requirement("MCS-40", "MCS-73")
def test_local_means_the_clients_own_node_and_elsewhere_nobody(stage: Stage) -> None:
    stage.offer("local", "east", "west", internalTrafficPolicy="Local")
    for where in BOTH:
        stage.wait_asked(where, "local", {where})
    stage.isthmus.kubectl_well("west", "delete", "svcex", "local", "-n", NAMESPACE)
    stage.wait_exporters("local", ("east",))
    stage.wait_asked("west", "local", {NOBODY}, times=3)
    stage.wait_asked("east", "local", {"east"})
    wait_ready_says(stage, "west", "local", "nobody is reached from here")
    stage.isthmus.kubectl_well("east", "patch", "svc", "local", "-n", NAMESPACE, "-p", CLUSTER)
    stage.wait_asked("west", "local", {"east"})


CLUSTER = json.dumps({"spec": {"internalTrafficPolicy": "Cluster"}})


@pytest.fixture
def zones(stage: Stage) -> Iterator[None]:
    """Leaves the nodes where they were."""
    yield
    for cluster in ("east", "west"):
        stage.label_node(cluster, zone=f"{cluster}-1", region=cluster)


@pytest.mark.requirement("MCS-41", "MCS-73")
@pytest.mark.usefixtures("zones")
def test_closeness_is_the_own_zone_then_anywhere(stage: Stage) -> None:
    name = "close"
    stage.offer(name, "east", "west", trafficDistribution="PreferClose")
    for where in BOTH:
        stage.wait_asked(where, name, {where})
    # One zone over two clusters: both are near.
    for cluster in ("east", "west"):
        stage.label_node(cluster, zone="a", region="eu")
    for where in BOTH:
        stage.wait_asked(where, name, BOTH)
    # The same zone's name in another region is another zone.
    stage.label_node("east", region="us")
    for where in BOTH:
        stage.wait_asked(where, name, {where})
    # Nobody is near: then everybody will do.
    stage.scale("west", 0)
    stage.wait_asked("west", name, {"east"})
    stage.scale("west", 1)
    stage.wait_asked("west", name, {"west"})


@pytest.mark.requirement("MCS-41", "MCS-73")
def test_the_same_zone_is_closeness_by_its_newer_name(stage: Stage) -> None:
    stage.offer("zone", "east", "west", trafficDistribution="PreferSameZone")
    for where in BOTH:
        stage.wait_asked(where, "zone", {where})


@pytest.mark.requirement("MCS-41", "MCS-73")
@pytest.mark.usefixtures("zones")
def test_same_node_is_the_own_node_then_the_zone_then_anywhere(stage: Stage) -> None:
    stage.offer("node", "east", "west", trafficDistribution="PreferSameNode")
    for cluster in ("east", "west"):
        stage.label_node(cluster, zone="a", region="eu")
    for where in BOTH:
        stage.wait_asked(where, "node", {where})
    stage.scale("west", 0)
    stage.wait_asked("west", "node", {"east"})
    stage.scale("west", 1)
    stage.wait_asked("west", "node", {"west"})


@pytest.mark.requirement("MCS-57", "MCS-58", "MCS-59")
def test_a_port_leads_only_to_the_clusters_that_have_it(stage: Stage) -> None:
    both = {"name": "http", "port": 80, "targetPort": 8080}
    stage.apply("east", service("ports", ports=[both]), service_export("ports"))
    stage.wait_exporters("ports", ("east",))
    more = [both, {"name": "more", "port": 81, "targetPort": 8080}]
    stage.apply("west", service("ports", ports=more), service_export("ports"))
    for where in BOTH:
        stage.wait_asked(where, "ports", BOTH)
        stage.wait_asked(where, "ports", {"west"}, port=81)


@pytest.mark.requirement("MCS-84", "MCS-85", "ABOUT-14")
def test_a_headless_name_leads_to_every_pod_and_a_pods_name_holds_its_clusters_id(stage: Stage) -> None:
    stage.offer("heads", "east", "west", clusterIP="None")
    words = ("get", "pods", "-n", NAMESPACE, "-l", "app=who", "-o", "jsonpath={.items[0].status.podIP}")
    pods = {cluster: stage.isthmus.kubectl_well(cluster, *words) for cluster in BOTH}
    # Which of several addresses a client takes is its own affair: all are there.
    lookup = f"getent ahostsv4 heads.{NAMESPACE}.svc.clusterset.local"
    eventually(
        lambda: {line.split()[0] for line in stage.inside("west", lookup).splitlines()} == {*pods.values()}, lookup
    )
    for cluster, address in pods.items():
        stage.wait_asked("west", f"{address.replace('.', '-')}.{cluster}.heads", {cluster}, port=8080)


@pytest.mark.requirement("MCS-33", "MCS-52")
def test_traffic_goes_on_while_exporters_come_and_go(stage: Stage) -> None:
    stage.offer("steady", "east")
    stage.wait_asked("west", "steady", {"east"})
    found: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            found.extend(stage.asked("west", "steady", times=20).elements())

    load = threading.Thread(target=ask)
    load.start()
    try:
        stage.apply("west", service("steady"), service_export("steady"))
        stage.wait_exporters("steady", ("east", "west"))
        stage.isthmus.kubectl_well("west", "delete", "svcex", "steady", "-n", NAMESPACE)
        stage.wait_exporters("steady", ("east",))
    finally:
        over.set()
        load.join()
    assert NOBODY not in found
    assert "east" in found
