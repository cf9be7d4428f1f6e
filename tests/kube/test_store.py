"""What a store answers while objects come, change, break and go."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from isthmus.api.core import Endpoint, EndpointPort, EndpointSlice, ObjectReference
from isthmus.api.meta import ObjectMeta
from isthmus.kube.codec import Key
from isthmus.kube.store import Change, Store


def piece(name: str, *, namespace: str = "prod", service: str = "shop", version: str = "1") -> EndpointSlice:
    labels = {"service": service}
    return EndpointSlice(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels, resource_version=version))


@pytest.fixture(params=[None, EndpointSlice], ids=["whole", "packed"])
def store(request: pytest.FixtureRequest) -> Store[EndpointSlice]:
    return Store({"service": lambda item: [item.metadata.labels["service"]]}, packed=request.param)


def replaced(
    store: Store[EndpointSlice], *items: EndpointSlice, undecodable: Mapping[Key, str] = {}
) -> list[Change[EndpointSlice]]:
    return list(store.replace([store.held(item) for item in items], undecodable))


def test_objects_are_found_by_name_namespace_and_index(store: Store[EndpointSlice]) -> None:
    first, second, other = piece("a"), piece("b", service="cart"), piece("a", namespace="test")
    for item in (first, second, other):
        store.put(item)
    assert store.get("a", "prod") == first
    assert store.get("c", "prod") is None
    assert store.all("prod") == [first, second]
    assert store.all() == [first, second, other]
    assert store.by("service", "shop") == [first, other]
    assert store.by("service", "nobody") == []
    assert len(store) == 3


def test_an_index_follows_the_object(store: Store[EndpointSlice]) -> None:
    store.put(piece("a"))
    moved = piece("a", service="cart")
    assert store.put(moved) == Change(piece("a"), moved)
    assert store.by("service", "shop") == []
    assert store.by("service", "cart") == [moved]
    assert store.remove(("prod", "a")) == Change(moved, None)
    assert store.by("service", "cart") == []
    assert len(store) == 0


def test_what_did_not_change_is_no_change(store: Store[EndpointSlice]) -> None:
    store.put(piece("a"))
    assert store.put(piece("a")) is None
    assert store.remove(("prod", "b")) is None


def test_a_fresh_list_tells_what_came_changed_and_went(store: Store[EndpointSlice]) -> None:
    for name in ("kept", "changed", "gone"):
        store.put(piece(name))
    changed = piece("changed", service="cart", version="2")
    changes = replaced(store, piece("kept"), changed, piece("came"))
    assert changes == [
        Change(piece("gone"), None, seen=False),
        Change(piece("changed"), changed, seen=False),
        Change(None, piece("came"), seen=False),
    ]
    assert sorted(item.metadata.name for item in store.by("service", "shop")) == ["came", "kept"]


def test_a_list_of_a_server_gone_back_in_time_counts_by_content(store: Store[EndpointSlice]) -> None:
    store.put(piece("a", service="shop", version="7"))
    # After a restore, the same resourceVersion can mean another content.
    assert len(replaced(store, piece("a", service="cart", version="7"))) == 1


def test_an_object_that_becomes_unreadable_stays_until_it_is_gone(store: Store[EndpointSlice]) -> None:
    store.put(piece("a"))
    assert replaced(store, undecodable={("prod", "a"): "why"}) == []
    assert store.get("a", "prod") == piece("a")
    assert store.undecodable == {("prod", "a"): "why"}
    assert replaced(store) == [Change(piece("a"), None, seen=False)]
    assert store.undecodable == {}


def test_an_object_that_is_mended_is_no_longer_set_aside(store: Store[EndpointSlice]) -> None:
    replaced(store, undecodable={("prod", "a"): "why", ("prod", "b"): "why"})
    store.put(piece("a"))
    store.remove(("prod", "b"))
    assert store.undecodable == {}


def test_a_complete_list_is_there_before_its_first_change_is_told(store: Store[EndpointSlice]) -> None:
    store.put(piece("gone"))
    changes = store.replace([store.held(piece("a")), store.held(piece("b"))], {})
    assert store.by("service", "shop") == [piece("a"), piece("b")]
    assert next(changes) == Change(piece("gone"), None, seen=False)


@pytest.mark.parametrize("endpoints", [1, 100], ids=["short", "long"])
def test_a_packed_object_comes_out_as_it_went_in(endpoints: int) -> None:
    store: Store[EndpointSlice] = Store(packed=EndpointSlice)
    whole = EndpointSlice(
        api_version="discovery.k8s.io/v1",
        kind="EndpointSlice",
        metadata=ObjectMeta(name="a", namespace="prod", creation_timestamp=datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)),
        address_type="IPv4",
        endpoints=(Endpoint(("10.1.0.1",), zone="z", target_ref=ObjectReference(kind="Pod", name="p")),) * endpoints,
        ports=(EndpointPort(name="http", port=80),),
    )
    store.put(whole)
    assert store.get("a", "prod") == whole
    assert store.put(whole) is None


def test_an_index_may_give_one_object_a_key_twice_or_none() -> None:
    store: Store[EndpointSlice] = Store({"odd": lambda item: ["x", "x"] if item.metadata.name == "a" else []})
    store.put(piece("a"))
    store.put(piece("b"))
    assert store.by("odd", "x") == [piece("a")]
    store.remove(("prod", "a"))
    store.remove(("prod", "b"))
    assert store.by("odd", "x") == []
