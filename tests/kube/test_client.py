"""Every verb, on each kind of cluster; answers that are not what they should be, from a scripted server."""

import asyncio
import json
from contextlib import aclosing

import msgspec
import pytest

from isthmus import errors
from isthmus.api import core
from isthmus.api.scheme import Manifest, Resource
from isthmus.kube.client import Client, DeleteOptions, ListOptions, WatchEvent, WatchOptions, WriteOptions
from isthmus.kube.config import Config
from tests.kube.scripted import Answer, Reply, Scripted, Seen, page, says, status

GADGETS: Resource[Manifest] = Resource("example.com", "v1", "gadgets", "Gadget", dict)


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def endpoint_slice(name: str, *addresses: str) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [],
    }


async def test_an_object_lives_from_create_to_delete(client: Client, namespace: str) -> None:
    made = await client.create(core.CONFIG_MAPS, config_map("a", x="1"), namespace=namespace)
    seen = await client.get(core.CONFIG_MAPS, "a", namespace=namespace)
    assert seen["data"] == {"x": "1"}
    changed = await client.update(core.CONFIG_MAPS, made | {"data": {"x": "2"}}, namespace=namespace)
    assert changed["data"] == {"x": "2"}
    patched = await client.merge_patch(core.CONFIG_MAPS, "a", {"data": {"y": "3"}}, namespace=namespace)
    assert patched["data"] == {"x": "2", "y": "3"}
    operations: list[Manifest] = [{"op": "remove", "path": "/data/x"}]
    patched = await client.json_patch(core.CONFIG_MAPS, "a", operations, namespace=namespace)
    assert patched["data"] == {"y": "3"}
    await client.delete(core.CONFIG_MAPS, "a", namespace=namespace)
    with pytest.raises(errors.NotFound):
        await client.get(core.CONFIG_MAPS, "a", namespace=namespace)


async def test_a_name_that_is_taken_is_a_conflict(client: Client, namespace: str) -> None:
    await client.create(core.CONFIG_MAPS, config_map("a"), namespace=namespace)
    with pytest.raises(errors.Conflict) as problem:
        await client.create(core.CONFIG_MAPS, config_map("a"), namespace=namespace)
    assert problem.value.reason == "AlreadyExists"


async def test_an_update_of_an_old_version_is_a_conflict(client: Client, namespace: str) -> None:
    old = await client.create(core.CONFIG_MAPS, config_map("a"), namespace=namespace)
    await client.merge_patch(core.CONFIG_MAPS, "a", {"data": {"x": "1"}}, namespace=namespace)
    with pytest.raises(errors.Conflict):
        await client.update(core.CONFIG_MAPS, old, namespace=namespace)
    patch = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "data": {"x": "2"}}
    with pytest.raises(errors.Conflict):
        await client.merge_patch(core.CONFIG_MAPS, "a", patch, namespace=namespace)


async def test_apply_takes_fields_of_others_only_by_force(client: Client, namespace: str) -> None:
    east, west = WriteOptions("east"), WriteOptions("west")
    await client.apply(core.CONFIG_MAPS, config_map("a", x="1"), namespace=namespace, options=east)
    with pytest.raises(errors.Conflict) as problem:
        await client.apply(core.CONFIG_MAPS, config_map("a", x="2"), namespace=namespace, options=west)
    assert "east" in str(problem.value)
    forced = WriteOptions("west", force=True)
    seen = await client.apply(core.CONFIG_MAPS, config_map("a", x="2"), namespace=namespace, options=forced)
    assert seen["data"] == {"x": "2"}


async def test_a_dry_run_changes_nothing(client: Client, namespace: str) -> None:
    rehearsal = WriteOptions(dry_run=True)
    await client.create(core.CONFIG_MAPS, config_map("a"), namespace=namespace, options=rehearsal)
    with pytest.raises(errors.NotFound):
        await client.get(core.CONFIG_MAPS, "a", namespace=namespace)


async def test_a_delete_with_preconditions_spares_a_successor(client: Client, namespace: str) -> None:
    made = await client.create(core.CONFIG_MAPS, config_map("a"), namespace=namespace)
    other = DeleteOptions(uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(errors.Conflict):
        await client.delete(core.CONFIG_MAPS, "a", namespace=namespace, options=other)
    this = DeleteOptions(uid=made["metadata"]["uid"], resource_version=made["metadata"]["resourceVersion"])
    await client.delete(core.CONFIG_MAPS, "a", namespace=namespace, options=this)


async def test_a_list_is_followed_page_by_page(client: Client, namespace: str) -> None:
    names = [f"item-{n:02}" for n in range(23)]
    for name in names:
        await client.create(core.CONFIG_MAPS, config_map(name), namespace=namespace)
    listed = await client.list(core.CONFIG_MAPS, namespace=namespace, options=ListOptions(limit=5))
    seen = [item["metadata"]["name"] for item in listed.items]
    assert [name for name in seen if name.startswith("item-")] == names
    assert listed.resource_version


async def test_a_list_keeps_to_its_selectors(client: Client, namespace: str) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        manifest = config_map(name)
        manifest["metadata"]["labels"] = {"color": color}
        await client.create(core.CONFIG_MAPS, manifest, namespace=namespace)
    reds = await client.list(core.CONFIG_MAPS, namespace=namespace, options=ListOptions(labels="color in (red)"))
    assert [item["metadata"]["name"] for item in reds.items] == ["a", "c"]
    only = ListOptions(fields="metadata.name=b")
    named = await client.list(core.CONFIG_MAPS, namespace=namespace, options=only)
    assert [item["metadata"]["name"] for item in named.items] == ["b"]


async def test_delete_collection_deletes_the_selection_only(client: Client, namespace: str) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        manifest = config_map(name)
        manifest["metadata"]["labels"] = {"color": color}
        await client.create(core.CONFIG_MAPS, manifest, namespace=namespace)
    await client.delete_collection(core.CONFIG_MAPS, namespace=namespace, options=ListOptions(labels="color=red"))
    left = await client.list(core.CONFIG_MAPS, namespace=namespace, options=ListOptions(labels="color"))
    assert [item["metadata"]["name"] for item in left.items] == ["b"]


async def test_a_slice_without_endpoints_is_read(client: Client, namespace: str) -> None:
    # A real API server writes `"endpoints": null`.
    await client.create(core.ENDPOINT_SLICES, endpoint_slice("empty"), namespace=namespace)
    listed = await client.list(core.ENDPOINT_SLICES, namespace=namespace)
    assert [item.endpoints for item in listed.items] == [()]
    assert not listed.undecodable


async def test_an_object_reads_the_same_by_get_list_and_watch(client: Client, namespace: str) -> None:
    made = await client.create(core.ENDPOINT_SLICES, endpoint_slice("a", "10.1.0.5"), namespace=namespace)
    got = await client.get(core.ENDPOINT_SLICES, "a", namespace=namespace)
    listed = await client.list(core.ENDPOINT_SLICES, namespace=namespace)
    async with aclosing(client.watch(core.ENDPOINT_SLICES, namespace=namespace)) as events:
        event = await anext(events)
    assert isinstance(event, WatchEvent)
    assert made == got == listed.items[0] == event.object
    assert (got.api_version, got.kind) == ("discovery.k8s.io/v1", "EndpointSlice")


async def test_a_watch_tells_what_happens_after_its_version(client: Client, namespace: str) -> None:
    listed = await client.list(core.CONFIG_MAPS, namespace=namespace)
    await client.create(core.CONFIG_MAPS, config_map("a"), namespace=namespace)
    await client.merge_patch(core.CONFIG_MAPS, "a", {"data": {"x": "1"}}, namespace=namespace)
    await client.delete(core.CONFIG_MAPS, "a", namespace=namespace)
    since = WatchOptions(fields="metadata.name=a", resource_version=listed.resource_version)
    told: list[str] = []
    async with (
        asyncio.timeout(20),
        aclosing(client.watch(core.CONFIG_MAPS, namespace=namespace, options=since)) as events,
    ):
        async for event in events:
            told.append(event.type)
            if event.type == "DELETED":
                break
    assert told == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_version_the_server_has_not_reached_is_noticed(client: Client, namespace: str) -> None:
    listed = await client.list(core.CONFIG_MAPS, namespace=namespace)
    assert await client.reaches(core.CONFIG_MAPS, listed.resource_version, namespace=namespace)
    future = str(int(listed.resource_version) + 1_000_000)
    assert not await client.reaches(core.CONFIG_MAPS, future, namespace=namespace)
    ahead = ListOptions(resource_version=future, match="NotOlderThan")
    with pytest.raises(errors.Gone):
        await client.list(core.CONFIG_MAPS, namespace=namespace, options=ahead)


async def test_the_server_says_what_it_serves(client: Client) -> None:
    assert (await client.version()).startswith("v1.")
    assert await client.serves(core.SERVICES)
    assert await client.serves(core.ENDPOINT_SLICES)
    assert not await client.serves(GADGETS)


async def test_a_kind_that_is_not_served_is_not_found(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        await client.list(GADGETS)


async def test_an_answer_that_does_not_say_so_is_told_with_what_was_asked(client: Client) -> None:
    with pytest.raises(errors.NotFound, match=r"GET /apis/example\.com/v1/gadgets: "):
        await client.list(GADGETS)
    with pytest.raises(errors.NotFound) as caught:
        await client.get(core.NAMESPACES, "nowhere")
    assert "GET" not in str(caught.value)


async def test_what_does_not_fit_the_kind_is_refused(client: Client, namespace: str) -> None:
    bad = config_map("a") | {"data": {"x": 5}}
    with pytest.raises(errors.Refused):
        await client.create(core.CONFIG_MAPS, bad, namespace=namespace)
    with pytest.raises(errors.Refused):
        await client.create(core.CONFIG_MAPS, config_map("Not A Name"), namespace=namespace)


async def test_an_object_without_a_name_is_not_sent(client: Client) -> None:
    with pytest.raises(errors.Invalid, match=r"metadata\.name"):
        await client.apply(core.CONFIG_MAPS, {"data": {}})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(400, "BadRequest"), errors.Refused),
        (status(401, "Unauthorized"), errors.Refused),
        (status(403, "Forbidden"), errors.Refused),
        (status(404, "NotFound"), errors.NotFound),
        (status(409, "Conflict"), errors.Conflict),
        (status(409, "AlreadyExists"), errors.Conflict),
        (status(410, "Expired"), errors.Gone),
        (status(413, "RequestEntityTooLarge"), errors.Refused),
        (status(415, "UnsupportedMediaType"), errors.Refused),
        (status(422, "Invalid"), errors.Refused),
        (status(429, "TooManyRequests"), errors.Throttled),
        (status(500, "InternalError"), errors.ServerFault),
        (status(504, "Timeout", "request timed out"), errors.ServerFault),
        (status(504, "Timeout", "Too large resource version: 9, current: 5"), errors.Gone),
        (says("what", 302, Location="http://elsewhere/"), errors.Refused),
    ],
)
async def test_each_answer_is_the_error_it_means(answer: Answer, error: type[errors.APIError]) -> None:
    async with Scripted().then(answer) as server, Client(Config(server.url)) as client:
        with pytest.raises(error) as problem:
            await client.create(core.CONFIG_MAPS, config_map("a"), namespace="x")
    assert type(problem.value) is error


async def test_the_facts_of_a_status_are_kept() -> None:
    answer = status(422, "Invalid", "spec.x: no", causes=[{"field": "spec.x"}])
    async with Scripted().then(answer) as server, Client(Config(server.url)) as client:
        with pytest.raises(errors.Refused) as problem:
            await client.get(core.CONFIG_MAPS, "a", namespace="x")
    assert (problem.value.code, problem.value.reason) == (422, "Invalid")
    assert problem.value.details == {"causes": [{"field": "spec.x"}]}
    assert str(problem.value) == "Invalid: spec.x: no"


GOOD = {"metadata": {"name": "good", "namespace": "x"}, "addressType": "IPv4"}


async def test_one_bad_item_does_not_spoil_the_list() -> None:
    bad = {"metadata": {"name": "bad", "namespace": "x"}, "addressType": 7}
    nameless = {"metadata": {"name": 5}}
    async with Scripted().then(page(GOOD, bad, nameless, GOOD)) as server, Client(Config(server.url)) as client:
        listed = await client.list(core.ENDPOINT_SLICES)
    assert [item.metadata.name for item in listed.items] == ["good", "good"]
    assert set(listed.undecodable) == {("x", "bad"), ("", "(item 2)")}
    assert "addressType" in listed.undecodable["x", "bad"]


async def test_pages_that_expire_midway_are_asked_for_in_one() -> None:
    script = Scripted().then(
        page(GOOD, continue_="token"), status(410, "Expired", "the continue token is too old"), page(GOOD, GOOD)
    )
    async with script as server, Client(Config(server.url)) as client:
        listed = await client.list(core.ENDPOINT_SLICES)
    assert len(listed.items) == 2
    assert [seen.query.get("limit") for seen in server.seen] == ["500", "500", None]


async def test_a_version_too_old_is_told_at_once() -> None:
    async with Scripted().then(status(410, "Expired")) as server, Client(Config(server.url)) as client:
        with pytest.raises(errors.Gone):
            await client.list(core.ENDPOINT_SLICES, options=ListOptions(resource_version="1", match="Exact"))
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>log in please</html>", id="a web page"),
        pytest.param(b'{"metadata":{}, "items":[{"metadata"', id="JSON cut short"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 100_000, id="nesting without end"),
        pytest.param(b'{"metadata":{"resourceVersion":"\xff"}}', id="bytes that are no text"),
        pytest.param(b'{"items":[]}', id="a list without metadata"),
    ],
)
async def test_an_answer_that_is_not_kubernetes_is_a_fault_of_the_server(body: bytes) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.body(body)

    async with Scripted().then(answer) as server, Client(Config(server.url)) as client:
        with pytest.raises(errors.ServerFault):
            await client.list(core.ENDPOINT_SLICES)


async def test_names_and_selectors_are_quoted() -> None:
    async with Scripted().then(page()) as server, Client(Config(server.url + "/prefix/")) as client:
        await client.list(core.ENDPOINT_SLICES, namespace="a/b?c", options=ListOptions(labels="x in (a,b),y=+ &"))
    assert server.seen[0].path == "/prefix/apis/discovery.k8s.io/v1/namespaces/a%2Fb%3Fc/endpointslices"
    assert server.seen[0].query["labelSelector"] == "x in (a,b),y=+ &"


async def test_a_body_travels_as_written() -> None:
    async with Scripted().then(says(config_map("a"))) as server, Client(Config(server.url)) as client:
        await client.apply(core.CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "x"}})
    sent = server.seen[0]
    assert (sent.method, sent.path) == ("PATCH", "/api/v1/namespaces/x/configmaps/a")
    assert sent.header("content-type") == "application/apply-patch+yaml"
    assert json.loads(sent.body) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "x"},
    }
    assert msgspec.json.decode(sent.body)["kind"] == "ConfigMap"
