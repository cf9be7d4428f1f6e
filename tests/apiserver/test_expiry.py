from isthmus.api.scheme import Manifest
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.expiry import Expiry
from isthmus.apiserver.housekeeping import Housekeeper
from isthmus.apiserver.kinds import BUILT_IN, Kinds
from isthmus.apiserver.storage import Storage
from isthmus.kit.clock import FakeClock


def event(name: str, count: int) -> Manifest:
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "n"}, "count": count}


async def test_events_are_forgotten_an_hour_after_they_were_last_written() -> None:
    clock = FakeClock()
    storage = Storage(None, 100)
    expiry = Expiry(Cluster("east", storage, Kinds(BUILT_IN), clock), Housekeeper(clock))
    events = storage.collection("events")
    events.listeners.append(expiry.seen)
    for name in ("old", "again"):
        storage.put(events, ("n", name), event(name, 1))
    await clock.advance(3000)
    storage.put(events, ("n", "again"), event("again", 2))
    await clock.advance(601)
    expiry.forget()
    assert list(events.records) == [("n", "again")]
    await clock.advance(3000)
    expiry.forget()
    assert not events.records
