"""A store that stays true: on real clusters, and through every fault that a server can make."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from isthmus.api import core
from isthmus.api.core import EndpointSlice
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import FakeClock
from isthmus.kube import informer as informers
from isthmus.kube import transport as transports
from isthmus.kube.client import Client, WriteOptions
from isthmus.kube.config import Config
from isthmus.kube.informer import Change, Informer, Pinned, Selection
from tests.kube.scripted import Answer, Reply, Scripted, Seen, drops, page, soon, status
from tests.kube.test_client import endpoint_slice


def piece(name: str, version: str = "1", *, address_type: object = "IPv4") -> dict[str, object]:
    metadata = {"name": name, "namespace": "x", "resourceVersion": version}
    return {"metadata": metadata, "addressType": address_type}


def bookmark(version: str) -> dict[str, object]:
    return {"metadata": {"resourceVersion": version}}


def names(informer: Informer[EndpointSlice]) -> list[str]:
    return sorted(item.metadata.name for item in informer.store.all())


@asynccontextmanager
async def running(informer: Informer[EndpointSlice]) -> AsyncIterator[list[Change[EndpointSlice]]]:
    changes: list[Change[EndpointSlice]] = []
    informer.subscribe(changes.append)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(informer.run())
        try:
            yield changes
        finally:
            task.cancel()


Play = Callable[[Reply], Awaitable[None]]


class Hub(Scripted):
    """Lists, resumes and watches as scripted for each of them."""

    def __init__(
        self,
        *,
        lists: list[Answer],
        watches: list[Answer],
        reached: list[Answer] | None = None,
        pinned: list[Answer] | None = None,
    ) -> None:
        super().__init__()
        self._lists, self._watches, self._reached, self._pinned = lists, watches, reached or [page()], pinned or []
        self.then(self._by_query)

    async def _by_query(self, seen: Seen, reply: Reply) -> None:
        if "labelSelector" in seen.query:
            script = self._pinned
        elif not {"watch", "resourceVersion"} & set(seen.query):
            script = self._lists
        elif "watch" in seen.query:
            script = self._watches
        else:
            script = self._reached
        await (script.pop(0) if len(script) > 1 else script[0])(seen, reply)

    def asked(self, **query: str) -> int:
        return sum(query.items() <= seen.query.items() for seen in self.seen)


def watches(*events: tuple[str, dict[str, object]], then: Play | None = None) -> Answer:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.begin()
        for event in events:
            await reply.event(*event)
        await (then(reply) if then else reply.hang())

    return answer


async def dropped(reply: Reply) -> None:
    reply.drop()


async def ended(reply: Reply) -> None:
    await reply.end()


@asynccontextmanager
async def following(
    hub: Hub, **options: Selection
) -> AsyncIterator[tuple[Informer[EndpointSlice], list[Change[EndpointSlice]]]]:
    async with hub, Client(Config(hub.url)) as client:
        informer = Informer(client, core.ENDPOINT_SLICES)
        async with running(informer) as changes:
            yield informer, changes


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informers, "BACKOFF_CAP", 0.2)


# On each kind of cluster


async def test_a_store_follows_its_cluster(client: Client, namespace: str) -> None:
    await client.create(core.ENDPOINT_SLICES, endpoint_slice("a", "10.1.0.1"), namespace=namespace)
    informer = Informer(
        client,
        core.ENDPOINT_SLICES,
        namespace=namespace,
        indexes={"address": lambda item: [a for endpoint in item.endpoints for a in endpoint.addresses]},
    )
    async with running(informer) as changes:
        assert not informer.synced
        await informer.wait_synced()
        assert informer.synced
        assert names(informer) == ["a"]
        await client.create(core.ENDPOINT_SLICES, endpoint_slice("b", "10.1.0.2"), namespace=namespace)
        await soon(lambda: names(informer) == ["a", "b"])
        moved = endpoint_slice("b", "10.1.0.3")
        await client.apply(core.ENDPOINT_SLICES, moved, namespace=namespace, options=WriteOptions(force=True))
        await soon(lambda: informer.store.by("address", "10.1.0.3"))
        await client.delete(core.ENDPOINT_SLICES, "a", namespace=namespace)
        await soon(lambda: names(informer) == ["b"])
        assert changes[-1].after is None
        assert changes[-1].seen
        assert informer.fresh_lists == 1


async def test_a_fresh_list_can_be_asked_for(client: Client, namespace: str) -> None:
    informer = Informer(client, core.ENDPOINT_SLICES, namespace=namespace)
    listed: list[int] = []
    informer.when_listed(lambda: listed.append(informer.fresh_lists))
    async with running(informer) as changes:
        await informer.wait_synced()
        await client.create(core.ENDPOINT_SLICES, endpoint_slice("a", "10.1.0.1"), namespace=namespace)
        await soon(lambda: names(informer) == ["a"])
        for asked in range(2, 4):
            informer.relist()
            informer.relist()
            await soon(lambda: informer.fresh_lists == asked)  # noqa: B023
        assert listed == [1, 2, 3]
        assert len(changes) == 1
        await client.delete(core.ENDPOINT_SLICES, "a", namespace=namespace)
        await soon(lambda: not names(informer))


async def test_the_watch_goes_on_until_the_list_is_due_that_was_asked_for(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informers, "Backoff", lambda *_: Backoff(2.0, 2.0, jitter=lambda: 1.0))
    await client.create(core.ENDPOINT_SLICES, endpoint_slice("a", "10.1.0.1"), namespace=namespace)
    informer = Informer(client, core.ENDPOINT_SLICES, namespace=namespace)
    async with running(informer) as changes:
        await soon(lambda: names(informer) == ["a"])
        # What changes by a watch shows that there is one.
        await client.create(core.ENDPOINT_SLICES, endpoint_slice("b", "10.1.0.2"), namespace=namespace)
        await soon(lambda: names(informer) == ["a", "b"])
        informer.relist()
        await client.delete(core.ENDPOINT_SLICES, "a", namespace=namespace)
        await soon(lambda: names(informer) == ["b"])
        assert changes[-1].seen
        await soon(lambda: informer.fresh_lists == 2)


async def test_another_selection_takes_the_place_of_the_first(client: Client, namespace: str) -> None:
    for name, color in (("a", "red"), ("b", "blue")):
        manifest = endpoint_slice(name, "10.1.0.1")
        manifest["metadata"]["labels"] = {"color": color}
        await client.create(core.ENDPOINT_SLICES, manifest, namespace=namespace)
    informer = Informer(client, core.ENDPOINT_SLICES, namespace=namespace, options=Selection("color=red"))
    async with running(informer) as changes:
        await informer.wait_synced()
        assert names(informer) == ["a"]
        informer.select(Selection("color=blue"))
        await soon(lambda: names(informer) == ["b"])
        assert [change.seen for change in changes] == [False] * 3
        assert informer.synced


# Through faults


async def test_a_watch_that_drops_goes_on_where_it_was() -> None:
    hub = Hub(
        lists=[page(piece("a"))],
        watches=[watches(("ADDED", piece("b", "12")), ("BOOKMARK", bookmark("15")), then=dropped), watches()],
    )
    async with following(hub) as (informer, changes):
        await soon(lambda: hub.asked(watch="true", resourceVersion="15"))
        assert names(informer) == ["a", "b"]
        assert informer.store.resource_version == "15"
        assert informer.fresh_lists == 1
        assert hub.asked(watch="true", resourceVersion="10") == 1
    assert [change.seen for change in changes] == [False, True]


async def test_a_watch_that_the_server_ends_goes_on() -> None:
    hub = Hub(lists=[page()], watches=[watches(("ADDED", piece("a", "11")), then=ended), watches()])
    async with following(hub) as (informer, _):
        await soon(lambda: hub.asked(resourceVersion="11", watch="true"))
        assert names(informer) == ["a"]
        assert informer.failing_since is None


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(status(410, "Expired", "too old resource version"), id="as the answer"),
        pytest.param(
            watches(("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})),
            id="as an event",
        ),
    ],
)
async def test_a_version_too_old_means_a_new_list(gone: Answer) -> None:
    hub = Hub(
        lists=[page(piece("a"), piece("b")), page(piece("b"), piece("c"), version="50")],
        watches=[gone, watches()],
    )
    async with following(hub) as (informer, changes):
        await soon(lambda: informer.fresh_lists == 2)
        assert names(informer) == ["b", "c"]
        assert informer.store.resource_version == "50"
    told = [
        (change.before and change.before.metadata.name, change.after and change.after.metadata.name, change.seen)
        for change in changes[2:]
    ]
    assert told == [("a", None, False), (None, "c", False)]


async def test_a_server_gone_back_in_time_means_a_new_list() -> None:
    too_large = status(504, "Timeout", "Too large resource version: 10, current: 4")
    hub = Hub(
        lists=[page(piece("a", "9")), page(piece("b", "3"), version="4")],
        reached=[too_large],
        watches=[watches(then=dropped), watches()],
    )
    async with following(hub) as (informer, _):
        await soon(lambda: informer.fresh_lists == 2)
        assert names(informer) == ["b"]
        assert informer.store.resource_version == "4"
        # It must not have waited for a future version.
        assert hub.asked(watch="true", resourceVersion="10") == 1


async def test_a_list_that_was_asked_for_and_broke_off_is_asked_for_again() -> None:
    forbidden = status(403, "Forbidden", "roles not read yet")
    hub = Hub(
        lists=[page(piece("a")), forbidden, page(piece("b"), version="20")],
        watches=[watches()],
    )
    async with following(hub) as (informer, _):
        await informer.wait_synced()
        informer.relist()
        await soon(lambda: informer.fresh_lists == 2)
        assert names(informer) == ["b"]
        # The version of before must not be resumed: a restored server may have caught up with it.
        assert hub.asked(watch="true", resourceVersion="10") == 1


async def test_a_list_that_is_asked_for_while_a_watch_resumes_is_not_put_off_until_that_ends() -> None:
    async def asks(seen: Seen, reply: Reply) -> None:
        informer.relist()
        await page()(seen, reply)

    hub = Hub(
        lists=[page(piece("a")), page(piece("b"), version="20")],
        reached=[asks, page()],
        watches=[drops, watches()],
    )
    async with hub, Client(Config(hub.url)) as client:
        informer = Informer(client, core.ENDPOINT_SLICES)
        async with running(informer):
            await soon(lambda: names(informer) == ["b"])


def pinning(client: Client, namespace: str = "") -> Informer[EndpointSlice]:
    """Follows what is red, and whatever else is mine."""
    indexes = {"owner": lambda item: [item.metadata.labels.get("owner", "")]}
    selection = Selection("color=red") if namespace else Selection()
    informer = Informer(client, core.ENDPOINT_SLICES, namespace=namespace, options=selection, indexes=indexes)
    informer.pinned = Pinned(Selection("owner=me"), "owner", "me")
    return informer


async def test_what_is_pinned_is_listed_where_it_is_not_selected_and_watched_where_it_is(
    client: Client, namespace: str
) -> None:
    async def make(name: str, **labels: str) -> None:
        manifest = endpoint_slice(name, "10.1.0.1")
        manifest["metadata"]["labels"] = labels
        await client.create(core.ENDPOINT_SLICES, manifest, namespace=namespace)

    await make("a", color="red", owner="me")
    await make("b", color="red")
    await make("c", color="blue", owner="me")
    await make("d", color="blue")
    informer = pinning(client, namespace)
    async with running(informer) as changes:
        await informer.wait_synced()
        assert names(informer) == ["a", "b", "c"]
        await make("e", color="blue", owner="me")
        for name in ("a", "c"):
            await client.delete(core.ENDPOINT_SLICES, name, namespace=namespace)
        await soon(lambda: names(informer) == ["b", "c"])
        assert changes[-1].seen
        informer.relist()
        await soon(lambda: names(informer) == ["b", "e"])


def mine(name: str, version: str = "1", *, address_type: object = "IPv4") -> dict[str, object]:
    item = piece(name, version, address_type=address_type)
    item["metadata"] |= {"labels": {"owner": "me"}}  # type: ignore[operator]
    return item


@pytest.mark.parametrize(
    ("there", "lists"),
    [
        pytest.param([mine("a"), mine("b")], 1, id="as it was"),
        pytest.param([mine("a")], 2, id="one is missing"),
        pytest.param([mine("a"), mine("b", "9")], 2, id="one was other than we saw it, before we last looked"),
        pytest.param([mine("a"), mine("b"), mine("c", "9")], 2, id="one was there that we did not see"),
        pytest.param([mine("a"), mine("b", "later")], 2, id="versions that tell nothing"),
        pytest.param([mine("a"), mine("b", address_type=7)], 1, id="one cannot be read any more"),
    ],
)
async def test_what_is_pinned_and_not_as_it_was_when_a_watch_resumes_means_a_new_list(
    there: list[object], lists: int
) -> None:
    hub = Hub(
        lists=[page(mine("a"), piece("x")), page(mine("a"), version="30")],
        pinned=[page(mine("a"), mine("b")), page(*there, version="20"), page(mine("a"), version="31")],
        watches=[drops, watches()],
    )
    listed: list[int] = []
    async with hub, Client(Config(hub.url)) as client:
        informer = pinning(client)
        informer.when_listed(lambda: listed.append(informer.fresh_lists))
        async with running(informer):
            await soon(lambda: hub.asked(watch="true") == 2)
    assert informer.fresh_lists == lists
    assert names(informer) == (["a", "b", "x"] if lists == 1 else ["a"])
    # A look that found nothing amiss counts as a list of what is pinned.
    assert listed == [1, lists]
    assert hub.asked(watch="true", resourceVersion="10") == 3 - lists


async def test_what_became_of_the_pinned_while_nobody_told_is_taken_in_without_a_list_of_all() -> None:
    hub = Hub(
        lists=[page(mine("a"), piece("x"))],
        pinned=[page(mine("a")), page(mine("a", "12", address_type="IPv6"), mine("b", "13"), version="20")],
        watches=[drops, watches()],
    )
    async with hub, Client(Config(hub.url)) as client:
        informer = pinning(client)
        async with running(informer) as changes:
            await soon(lambda: names(informer) == ["a", "b", "x"])
            held = informer.store.get("a", "x")
            assert held is not None
            assert held.address_type == "IPv6"
            assert [change.seen for change in changes[2:]] == [True, True]
            # What the watch has still to tell is asked for.
            await soon(lambda: hub.asked(watch="true", resourceVersion="10") == 2)
            assert informer.fresh_lists == 1


async def test_a_list_that_the_pinned_called_for_and_that_broke_off_is_asked_for_again() -> None:
    """Whatever they look like by then: the rest may still be that of another time."""
    forbidden = status(403, "Forbidden", "roles not read yet")
    hub = Hub(
        lists=[page(mine("a")), forbidden, page(piece("b"), version="30")],
        pinned=[page(mine("a")), page(version="20"), page(mine("a", "21"), version="22")],
        watches=[drops, watches()],
    )
    async with hub, Client(Config(hub.url)) as client:
        informer = pinning(client)
        async with running(informer):
            await soon(lambda: names(informer) == ["a", "b"])
            assert hub.asked(watch="true", resourceVersion="10") == 1


@pytest.mark.parametrize(
    "fault",
    [drops, status(500, "InternalError"), status(429, "TooManyRequests"), status(403, "Forbidden"), status(404)],
    ids=["drop", "500", "429", "403", "404"],
)
async def test_nothing_is_lost_while_the_server_fails(fault: Answer) -> None:
    hub = Hub(
        lists=[page(piece("a"))],
        reached=[fault, fault, fault, fault, fault, page()],
        watches=[watches(then=dropped), watches(("ADDED", piece("b", "11")))],
    )
    async with following(hub) as (informer, changes):
        await informer.wait_synced()
        await soon(lambda: informer.failing_since is not None)
        assert informer.problem
        assert names(informer) == ["a"]
        await soon(lambda: names(informer) == ["a", "b"])
        assert informer.failing_since is None
        assert informer.fresh_lists == 1
    assert [change.after is not None for change in changes] == [True, True]


async def test_a_watch_that_stalls_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        transports.Transport.__init__,
        "__kwdefaults__",
        {**(transports.Transport.__init__.__kwdefaults__ or {}), "stall": 0.3},
    )
    hub = Hub(lists=[page(piece("a"))], watches=[watches(), watches(("ADDED", piece("b", "11")))])
    async with following(hub) as (informer, _):
        await soon(lambda: names(informer) == ["a", "b"])
        assert informer.fresh_lists == 1


async def test_a_half_told_list_is_never_shown() -> None:
    go_on = asyncio.Event()

    async def slowly(seen: Seen, reply: Reply) -> None:
        await go_on.wait()
        await page(piece("c"), version="21")(seen, reply)

    hub = Hub(
        lists=[page(piece("a")), page(piece("b"), version="21", continue_="more"), slowly],
        watches=[status(410, "Expired"), watches()],
    )
    async with following(hub) as (informer, _):
        await soon(lambda: hub.asked(**{"continue": "more"}))
        assert names(informer) == ["a"]
        assert informer.synced
        go_on.set()
        await soon(lambda: names(informer) == ["b", "c"])


async def test_a_list_comes_in_pages() -> None:
    hub = Hub(
        lists=[page(piece("a"), piece("bad", address_type=7), continue_="more"), page(piece("b"))],
        watches=[watches(("ADDED", piece("c", "11")))],
    )
    async with following(hub) as (informer, _):
        await soon(lambda: names(informer) == ["a", "b", "c"])
        assert set(informer.store.undecodable) == {("x", "bad")}
        assert informer.fresh_lists == 1


async def test_pages_that_outlive_the_servers_memory_come_all_at_once() -> None:
    hub = Hub(
        lists=[page(piece("a"), continue_="more"), status(410, "Expired"), page(piece("b"), piece("c"))],
        watches=[watches()],
    )
    async with following(hub) as (informer, _):
        await informer.wait_synced()
        assert names(informer) == ["b", "c"]
        assert not hub.seen[2].query


async def test_one_bad_object_is_set_aside_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    bad, worse = piece("a", "12", address_type=7), piece("d", "3", address_type=8)
    mended = piece("a", "14", address_type="IPv6")
    play = asyncio.Event()

    async def breaks(seen: Seen, reply: Reply) -> None:
        await reply.begin()
        await reply.event("MODIFIED", bad)
        await reply.event("ADDED", piece("c", "13"))
        await play.wait()
        await reply.event("MODIFIED", mended)
        await reply.event("DELETED", worse)
        await reply.hang()

    hub = Hub(lists=[page(piece("a"), worse)], watches=[breaks])
    with caplog.at_level(logging.WARNING):
        async with following(hub) as (informer, changes):
            await soon(lambda: names(informer) == ["a", "c"])
            assert set(informer.store.undecodable) == {("x", "a"), ("x", "d")}
            held = informer.store.get("a", "x")
            # Broken is not deleted: it stays as it was last readable.
            assert held is not None
            assert held.metadata.resource_version == "1"
            assert informer.store.resource_version == "13"
            play.set()
            await soon(lambda: not informer.store.undecodable)
            held = informer.store.get("a", "x")
            assert held is not None
            assert held.address_type == "IPv6"
    assert all(change.after is not None for change in changes)
    assert sum(record.message == "object set aside" for record in caplog.records) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"<html>\n",
        b'{"type":"WHAT","object":{}}\n',
        b'{"type":"ADDED"}\n',
        b'{"type":"BOOKMARK","object":[]}\n',
        b"\xff\n",
    ],
)
async def test_a_line_that_is_no_event_breaks_nothing(line: bytes) -> None:
    async def nonsense(reply: Reply) -> None:
        await reply.chunk(line)
        await reply.hang()

    hub = Hub(lists=[page(piece("a"))], watches=[watches(then=nonsense), watches(("ADDED", piece("b", "11")))])
    async with following(hub) as (informer, _):
        await soon(lambda: names(informer) == ["a", "b"])


async def test_an_object_made_anew_in_between_is_one_change_with_two_uids() -> None:
    first, second = piece("a"), piece("a", "9")
    first["metadata"] |= {"uid": "1"}  # type: ignore[operator]
    second["metadata"] |= {"uid": "2"}  # type: ignore[operator]
    hub = Hub(lists=[page(first), page(second)], watches=[status(410), watches()])
    async with following(hub) as (informer, changes):
        await soon(lambda: informer.fresh_lists == 2)
        assert len(changes) == 2
        assert changes[1].before is not None
        assert changes[1].after is not None
        assert (changes[1].before.metadata.uid, changes[1].after.metadata.uid) == ("1", "2")


async def test_a_server_that_always_ends_the_watch_is_not_hammered() -> None:
    hub, yardstick = Hub(lists=[page()], watches=[watches(then=ended)]), Scripted().then(page())
    clock = FakeClock()
    async with hub, yardstick, Client(Config(hub.url)) as client, Client(Config(yardstick.url)) as other:
        informer = Informer(client, core.ENDPOINT_SLICES, clock=clock)
        async with running(informer):
            await informer.wait_synced()
            for _ in range(4):
                await answered(other, 20)
                before = len(hub.seen)
                await answered(other, 20)
                # While no time passes it does nothing.
                assert len(hub.seen) == before
                await passing(clock, lambda: len(hub.seen) > before)  # noqa: B023


async def answered(client: Client, times: int) -> None:
    for _ in range(times):
        await client.list(core.SERVICES)


async def passing(clock: FakeClock, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await clock.advance(0.01)


async def test_many_events_in_one_chunk_all_arrive() -> None:
    count = 2000
    events = b"".join(
        b'{"type":"ADDED","object":{"metadata":{"name":"n%d","namespace":"x","resourceVersion":"%d"}}}\n' % (n, n)
        for n in range(11, 11 + count)
    )

    async def all_at_once(reply: Reply) -> None:
        half = len(events) // 2
        await reply.chunk(events[:half])
        await reply.chunk(events[half:])
        await reply.hang()

    hub = Hub(lists=[page()], watches=[watches(then=all_at_once)])
    async with following(hub) as (informer, _):
        await soon(lambda: len(informer.store) == count)
        assert informer.store.resource_version == str(10 + count)
