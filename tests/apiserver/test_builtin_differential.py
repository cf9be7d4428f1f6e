"""Built-in objects: an embedded server fills in, shows and refuses what a real one does, in its words."""

import json
from collections.abc import Callable, Iterator

import pytest

from isthmus.api.scheme import Manifest
from tests.apiserver import examples
from tests.apiserver.pair import Pair, pair_of

NAMESPACE = "examples"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of(tmp_path_factory.mktemp("pair"), NAMESPACE) as both:
        yield both


def in_words(pair: Pair, obj: Manifest) -> str:
    """What differs in the answers to one object, made on trial; empty if nothing does."""
    path = f"{examples.path(obj, NAMESPACE)}?dryRun=All"
    try:
        pair.send("POST", path, obj)
    except pytest.fail.Exception as difference:
        return str(difference)
    return ""


@pytest.mark.parametrize(
    "group",
    [
        examples.services,
        examples.metadata,
        examples.stored_data,
        examples.pods,
        examples.containers,
        examples.workloads,
        examples.slices,
        examples.others,
    ],
)
def test_objects_are_taken_and_refused_alike(pair: Pair, group: Callable[[], Iterator[Manifest]]) -> None:
    different = [words for obj in group() if (words := in_words(pair, obj))]
    if different:
        pytest.fail("\n\n".join(each[:3000] for each in different), pytrace=False)


def changed(obj: Manifest, *path: str | int, to: object) -> Manifest:
    copy: Manifest = json.loads(json.dumps(obj))
    at: object = copy
    for step in path[:-1]:
        at = at[step]  # type: ignore[index]  # steps are keys of maps and indices of lists
    at[path[-1]] = to  # type: ignore[index]  # the same
    return copy


LABELS = {"x": "y"}
IMMUTABLE = {**examples.named("x"), "immutable": True, "data": {"a": "b"}}


@pytest.mark.parametrize(
    ("obj", "patch"),
    [
        pytest.param(examples.workload(), {"spec": {"selector": {"matchLabels": LABELS}}}, id="selector"),
        pytest.param(examples.workload("StatefulSet"), {"spec": {"serviceName": "x"}}, id="service of a set"),
        pytest.param(examples.workload("StatefulSet"), {"spec": {"replicas": 3}}, id="replicas of a set"),
        pytest.param(examples.endpoint_slice(), {"addressType": "IPv6"}, id="type of addresses"),
        pytest.param(IMMUTABLE, {"data": {"a": "c"}}, id="immutable data"),
        pytest.param(IMMUTABLE, {"immutable": None}, id="immutable for ever"),
        pytest.param(examples.named("x", "Secret"), {"type": "x"}, id="type of a secret"),
        pytest.param(examples.pod(), {"spec": {"activeDeadlineSeconds": 5}}, id="a deadline is set"),
        pytest.param(
            examples.pod(activeDeadlineSeconds=5), {"spec": {"activeDeadlineSeconds": 7}}, id="a deadline is moved"
        ),
        pytest.param(
            examples.pod(activeDeadlineSeconds=5), {"spec": {"activeDeadlineSeconds": None}}, id="a deadline is dropped"
        ),
        pytest.param(examples.service(), {"spec": {"type": "ExternalName"}}, id="to a name without one"),
        pytest.param(examples.service(), {"spec": {"ports": [{"port": 81}]}}, id="another port"),
        pytest.param(
            {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "data": {"a": 1}},
            {"data": {"a": 2}},
            id="a revision's data",
        ),
    ],
)
def test_changes_are_taken_and_refused_alike(
    pair: Pair, obj: Manifest, patch: Manifest, request: pytest.FixtureRequest
) -> None:
    name = "".join(filter(str.isalnum, request.node.name.lower()))[-40:]
    path = examples.path(obj, NAMESPACE)
    pair.send("POST", path, changed(obj, "metadata", "name", to=name))
    pair.send("PATCH", f"{path}/{name}", patch, "application/merge-patch+json")
