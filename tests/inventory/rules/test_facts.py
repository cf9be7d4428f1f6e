"""What a member says of itself for the inventory."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.core import Node, NodeCapacity, NodeSpec, NodeStatus
from isthmus.api.isthmus import MAX_PROPERTIES, ClusterFacts, MemberStatus
from isthmus.api.meta import ObjectMeta
from isthmus.inventory.rules.facts import coarse, facts, fitting, observed, quantity

NOW = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)


def node(provider: str = "aws:///eu-west-1a/i-1", **labels: str) -> Node:
    """A node of four cores and 16 GiB; underscores in names of labels stand for the rest of the key."""
    return Node(
        metadata=ObjectMeta(
            name="n", labels={key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
        ),
        spec=NodeSpec(provider_id=provider),
        status=NodeStatus(capacity=NodeCapacity(cpu="4", memory="16Gi")),
    )


@pytest.mark.requirement("INV-21")
@pytest.mark.parametrize(
    ("value", "said", "told"),
    [
        pytest.param(0, 0, 0, id="nothing"),
        pytest.param(0.4, 0, 0, id="less than one"),
        pytest.param(3, 0, 3, id="few are counted"),
        pytest.param(5, 0, 4, id="more only roughly"),
        pytest.param(100, 0, 96, id="many very roughly"),
        pytest.param(95, 96, 96, id="a little less is no news"),
        pytest.param(128, 96, 96, id="a little more is no news"),
        pytest.param(80, 96, 64, id="much less is"),
        pytest.param(150, 96, 128, id="much more is"),
        pytest.param(7, 7, 6, id="what somebody else said is not kept"),
        pytest.param(0, 1, 0, id="none is news"),
    ],
)
def test_numbers_come_in_coarse_steps(value: float, said: int, told: int) -> None:
    assert coarse(value, said) == told


@pytest.mark.requirement("INV-21")
def test_a_cluster_that_hovers_around_a_step_says_one_number() -> None:
    said, numbers = 0, set()
    for count in [11, 12, 11, 13, 12, 11, 12] * 10:
        said = coarse(count, said)
        numbers.add(said)
    assert len(numbers) <= 2
    assert coarse(11, said) == coarse(13, said) == said


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        ("3920m", 3.92),
        ("16Gi", 16 * 1024**3),
        ("16393212Ki", 16393212 * 1024),
        ("2k", 2000),
        ("x", 0),
        ("", 0),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


def test_nodes_add_up() -> None:
    zones = ("b", "a", "a")
    nodes = [node(topology_kubernetes_io__zone=zone) for zone in zones]
    assert facts("v1.36.3-eks-abc", nodes, ClusterFacts()) == ClusterFacts(
        provider="aws", distribution="eks", zones=("a", "b"), nodes=3, cpu=12, memory=48
    )


@pytest.mark.parametrize(
    ("version", "of", "distribution", "provider"),
    [
        pytest.param("v1.31.1-gke.100", node("gce://p/z/i"), "gke", "gcp", id="by its version"),
        pytest.param("v1.31.1+k3s1", node("k3s://n"), "k3s", "k3s", id="a provider we do not know stands for itself"),
        pytest.param("v1.31.1", node("azure:///x", kubernetes_azure_com__cluster="c"), "aks", "azure", id="by a label"),
        pytest.param("v1.31.1", node(""), "", "", id="nothing says it"),
        pytest.param("v1.31.1", node("Ünsinn://x"), "", "", id="nonsense is not passed on"),
    ],
)
def test_the_distribution_is_known_by_its_marks(version: str, of: Node, distribution: str, provider: str) -> None:
    found = facts(version, [of], ClusterFacts())
    assert (found.distribution, found.provider) == (distribution, provider)


@pytest.mark.requirement("INV-19")
def test_values_that_do_not_fit_are_left_out_whole() -> None:
    kept, left_out = fitting({"a": "x" * 1024, "b": "x" * 1025, "c": "ä" * 1024, "d": ""})
    assert kept == {"a": "x" * 1024, "c": "ä" * 1024}
    assert left_out == ("b", "d")


def test_of_too_many_properties_the_first_stay() -> None:
    kept, left_out = fitting({f"p{number:04}": "x" for number in range(MAX_PROPERTIES + 3)})
    assert len(kept) == MAX_PROPERTIES
    assert left_out == ("p0256", "p0257", "p0258")


def test_what_kubernetes_defines_stays_however_many_others_there_are() -> None:
    others = {f"a{number:04}.example": "x" for number in range(MAX_PROPERTIES)}
    kept, left_out = fitting({"clusterset.k8s.io": "prod", "cluster.clusterset.k8s.io": "east", **others})
    assert (kept["clusterset.k8s.io"], kept["cluster.clusterset.k8s.io"]) == ("prod", "east")
    assert left_out == ("a0254.example", "a0255.example")


@pytest.mark.requirement("INV-22")
def test_the_moment_of_observation_moves_only_with_what_was_observed() -> None:
    status = MemberStatus(properties={"a": "1"})
    first = observed(status, MemberStatus(), now=NOW)
    assert first.observed_at == NOW.replace(microsecond=0)
    later = NOW + timedelta(hours=5)
    assert observed(status, first, now=later) == first
    assert observed(MemberStatus(properties={"a": "2"}), first, now=later).observed_at == later.replace(microsecond=0)
