"""What a store answers while objects come, change, break and go."""

from isthmus.api.core import EndpointSlice
from isthmus.api.meta import ObjectMeta
from isthmus.kube.codec import Key, key_of
from isthmus.kube.store import Change, Store


def piece(name: str, *, namespace: str = "prod", service: str = "shop", version: str = "1") -> EndpointSlice:
    labels = {"service": service}
    return EndpointSlice(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels, resource_version=version))


def by_service() -> Store[EndpointSlice]:
    return Store({"service": lambda item: [item.metadata.labels["service"]]})


def as_list(*items: EndpointSlice) -> dict[Key, EndpointSlice]:
    return {key_of(item): item for item in items}


def test_objects_are_found_by_name_namespace_and_index() -> None:
    store = by_service()
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


def test_an_index_follows_the_object() -> None:
    store = by_service()
    store.put(piece("a"))
    moved = piece("a", service="cart")
    assert store.put(moved) == Change(piece("a"), moved)
    assert store.by("service", "shop") == []
    assert store.by("service", "cart") == [moved]
    assert store.remove(("prod", "a")) == Change(moved, None)
    assert store.by("service", "cart") == []
    assert len(store) == 0


def test_what_did_not_change_is_no_change() -> None:
    store = by_service()
    store.put(piece("a"))
    assert store.put(piece("a")) is None
    assert store.remove(("prod", "b")) is None


def test_a_fresh_list_tells_what_came_changed_and_went() -> None:
    store = by_service()
    for name in ("kept", "changed", "gone"):
        store.put(piece(name))
    changed = piece("changed", service="cart", version="2")
    changes = store.replace(as_list(piece("kept"), changed, piece("came")), {})
    assert changes == [
        Change(piece("gone"), None, seen=False),
        Change(piece("changed"), changed, seen=False),
        Change(None, piece("came"), seen=False),
    ]
    assert sorted(item.metadata.name for item in store.by("service", "shop")) == ["came", "kept"]


def test_a_list_of_a_server_gone_back_in_time_counts_by_content() -> None:
    store = by_service()
    store.put(piece("a", service="shop", version="7"))
    # After a restore, the same resourceVersion can mean another content.
    assert len(store.replace(as_list(piece("a", service="cart", version="7")), {})) == 1


def test_an_object_that_becomes_unreadable_stays_until_it_is_gone() -> None:
    store = by_service()
    store.put(piece("a"))
    assert store.replace({}, {("prod", "a"): "why"}) == []
    assert store.get("a", "prod") == piece("a")
    assert store.undecodable == {("prod", "a"): "why"}
    assert store.replace({}, {}) == [Change(piece("a"), None, seen=False)]
    assert store.undecodable == {}


def test_an_object_that_is_mended_is_no_longer_set_aside() -> None:
    store = by_service()
    store.replace({}, {("prod", "a"): "why", ("prod", "b"): "why"})
    store.put(piece("a"))
    store.remove(("prod", "b"))
    assert store.undecodable == {}


def test_an_index_may_give_one_object_a_key_twice_or_none() -> None:
    store: Store[EndpointSlice] = Store({"odd": lambda item: ["x", "x"] if item.metadata.name == "a" else []})
    store.put(piece("a"))
    store.put(piece("b"))
    assert store.by("odd", "x") == [piece("a")]
    store.remove(("prod", "a"))
    store.remove(("prod", "b"))
    assert store.by("odd", "x") == []
