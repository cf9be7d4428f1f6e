"""Any sequence of writes by several managers ends alike on both servers."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.api.scheme import Manifest
from tests.differential.conftest import Pair
from tests.differential.sequences.applying import WITH_THINGS
from tests.differential.steps import MAPS, Sequence, Step, apply, delete, named, patch, post

NUMBERS = itertools.count()
NAMES = st.sampled_from(["x", "y", "z"])
PORTS = st.fixed_dictionaries(
    {"port": st.integers(1, 3)},
    optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": NAMES, "tags": st.lists(NAMES, unique=True)},
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "text": NAMES,
        "count": st.integers(1, 3),
        "ports": st.lists(PORTS, max_size=3, unique_by=lambda port: (port["port"], port.get("protocol", "TCP"))),
        "set": st.lists(NAMES, unique=True),
        "list": st.lists(NAMES, max_size=2),
        "map": st.dictionaries(NAMES, NAMES),
        "whole": st.dictionaries(NAMES, NAMES, max_size=2),
        "struct": st.fixed_dictionaries(
            {}, optional={"a": NAMES, "b": st.fixed_dictionaries({}, optional={"c": NAMES})}
        ),
    },
)
DATA = st.fixed_dictionaries({}, optional={"data": st.dictionaries(NAMES, NAMES, max_size=3)})
VERBS = st.sampled_from(["apply", "force", "merge", "create", "delete"])
WRITES = st.tuples(VERBS, st.sampled_from(["thing", "map"]), st.sampled_from("ab"), SPECS, DATA)
THINGS = "/apis/test.dev/v1/namespaces/d-random/things"


def step(write: tuple[str, str, str, Manifest, Manifest], number: int) -> Step:
    """One write, as a step on the object with that number."""
    verb, kind, manager, spec, data = write
    path, name = (THINGS, f"t{number}") if kind == "thing" else (MAPS.replace("${ns}", "d-random"), f"m{number}")
    body = named(name, "Thing", "test.dev/v1", spec=spec) if kind == "thing" else named(name, **data)
    if verb == "create":
        return post(f"{path}?fieldManager={manager}", body)
    if verb == "delete":
        return delete(f"{path}/{name}")
    if verb == "merge":
        return patch(f"{path}/{name}?fieldManager={manager}", {"spec": spec} if kind == "thing" else data)
    return apply(f"{path}/{name}", body, manager, force=verb == "force")


@settings(max_examples=15, suppress_health_check=list(HealthCheck), derandomize=True)
@given(writes=st.lists(WRITES, min_size=3, max_size=8))
def test_any_sequence_of_writes_ends_alike(pair: Pair, writes: list[tuple[str, str, str, Manifest, Manifest]]) -> None:
    number = next(NUMBERS)
    if number == 0:
        for server in (pair.ours, pair.theirs):
            server.make("d-random")
            server.play(Sequence("random", WITH_THINGS))
    steps = tuple(step(write, number) for write in writes)
    if differences := pair.compare(Sequence("random", steps)):
        pytest.fail(differences, pytrace=False)
