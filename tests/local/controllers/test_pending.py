from isthmus.api.scheme import Manifest
from isthmus.kit.clock import FakeClock
from isthmus.kube.store import Store
from isthmus.local.controllers.pending import PendingPods


def pod(uid: str, version: int) -> Manifest:
    return {"metadata": {"name": uid, "namespace": "prod", "uid": uid, "resourceVersion": str(version)}}


def names(pods: PendingPods) -> set[str]:
    return {each["metadata"]["uid"] for each in pods.all("prod")}


def heard(store: Store[Manifest], version: int, *pods: Manifest) -> None:
    for each in pods:
        store.put(each)
    store.resource_version = str(version)


def begin(*pods: Manifest) -> tuple[PendingPods, Store[Manifest], FakeClock]:
    store: Store[Manifest] = Store()
    heard(store, 1, *pods)
    clock = FakeClock()
    return PendingPods(store, clock), store, clock


def test_a_pod_counts_from_the_moment_the_server_answered() -> None:
    pods, store, _ = begin(pod("a", 1))
    pods.made(pod("b", 5))
    assert names(pods) == {"a", "b"}
    assert pods.all("other") == []
    heard(store, 4)
    assert names(pods) == {"a", "b"}
    heard(store, 5, pod("b", 5))
    assert names(pods) == {"a", "b"}


def test_a_pod_that_was_made_and_deleted_by_others_is_gone_once_the_store_is_past_it() -> None:
    pods, store, _ = begin()
    pods.made(pod("b", 5))
    heard(store, 9)
    assert names(pods) == set()


def test_a_deleted_pod_does_not_count_while_the_store_still_has_it() -> None:
    pods, _, clock = begin(pod("a", 1), pod("b", 2))
    pods.deleted("a")
    assert names(pods) == {"b"}
    assert clock.monotonic() == 0


async def test_a_store_that_never_catches_up_is_believed_in_the_end() -> None:
    pods, _, clock = begin(pod("a", 1))
    pods.made(pod("b", 5))
    pods.deleted("a")
    await clock.advance(11)
    assert names(pods) == {"a"}
