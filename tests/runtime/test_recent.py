"""Reading one's own writes, and not longer than that."""

from isthmus.api.core import SERVICES, Service
from isthmus.api.meta import ObjectMeta
from isthmus.kit.clock import FakeClock
from isthmus.kube.store import Store
from isthmus.runtime.recent import Key, Recent, key_of


def service(version: str, *, uid: str = "u1") -> Service:
    return Service(metadata=ObjectMeta(namespace="prod", name="shop", uid=uid, resource_version=version))


KEY: Key = key_of(SERVICES, service("1"))


def followed(version: str, clock: FakeClock | None = None) -> tuple[Recent, Store[Service]]:
    recent = Recent(clock or FakeClock())
    store: Store[Service] = Store()
    store.resource_version = version
    recent.follow(SERVICES, store)
    return recent, store


def test_a_write_is_read_until_the_store_has_heard_of_it() -> None:
    recent, store = followed("5")
    recent.wrote(KEY, service("7"))
    assert recent.current(KEY, None) == service("7")
    assert recent.current(KEY, service("4")) == service("7")
    store.resource_version = "7"
    assert recent.current(KEY, None) is None


def test_what_was_read_before_the_store_heard_of_a_write_is_read_again() -> None:
    recent, store = followed("5")
    read = service("4")
    recent.wrote(KEY, service("7"))
    store.put(service("7"))
    store.resource_version = "8"
    assert recent.current(KEY, read) == service("7")


def test_what_the_store_has_heard_since_is_newer() -> None:
    recent, _ = followed("5")
    recent.wrote(KEY, service("7"))
    assert recent.current(KEY, service("9")) == service("9")


def test_a_late_answer_does_not_cover_a_later_one() -> None:
    recent, _ = followed("5")
    recent.wrote(KEY, service("9"))
    recent.wrote(KEY, service("7"))
    assert recent.current(KEY, None) == service("9")


def test_a_deleted_object_is_gone_until_another_takes_its_name() -> None:
    recent, _ = followed("5")
    recent.deleted(KEY, "u1")
    assert recent.current(KEY, service("4")) is None
    assert recent.current(KEY, service("8", uid="u2")) == service("8", uid="u2")


def test_a_complete_list_is_believed_since_the_server_may_have_gone_back_in_time() -> None:
    recent, store = followed("500")
    recent.wrote(KEY, service("501"))
    store.resource_version = "3"
    recent.forget(SERVICES)
    assert recent.current(KEY, None) is None
    recent.deleted(KEY, "u1")
    recent.forget(SERVICES)
    assert recent.current(KEY, service("2")) == service("2")


async def test_a_store_that_never_catches_up_is_believed_after_a_while() -> None:
    clock = FakeClock()
    recent, _ = followed("500", clock)
    recent.wrote(KEY, service("501"))
    assert recent.current(KEY, None) == service("501")
    await clock.advance(11)
    assert recent.current(KEY, None) is None


def test_versions_that_are_no_numbers_are_not_trusted() -> None:
    recent, _ = followed("a")
    recent.wrote(KEY, service("b"))
    assert recent.current(KEY, None) is None
