"""Members are held to as many exports as they may have: said to the honest one, done to the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.isthmus import EXPORTED_SERVICES, FULL_LABELS, MEMBERS, MEMBERS_NAMESPACE
from isthmus.errors import Refused
from isthmus.hub.allowances import allowances
from isthmus.install.roles import HUB_USER, MEMBER_ACCOUNT_PREFIX
from isthmus.kube.client import Client, WriteOptions
from isthmus.kube.informer import Informer
from isthmus.testing.waiting import eventually
from tests.install.conftest import BY_HAND, EAST, SET, WEST, Kept, Secured, act, kept, refused, root, secured
from tests.install.test_policies import export

__all__ = ["Kept", "Secured", "act", "kept", "root", "secured"]

pytestmark = pytest.mark.usefixtures("kind")

Act = Callable[[str], Awaitable[Client]]
MAY = "has as many exports as it may"


@asynccontextmanager
async def holding(hub: Client) -> AsyncIterator[None]:
    """The controller at work, with the hub's own rights."""
    members = Informer(hub, MEMBERS, namespace=SET)
    controller, informers = allowances(hub, SET, members)
    jobs = (members.run(), *(each.run() for each in informers), controller.run())
    running = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def allow(root: Client, number: int | None) -> None:
    await root.merge_patch(MEMBERS, "east", {"spec": {"maxExports": number}}, namespace=SET)


async def stored(root: Client, member: str = "east") -> set[str]:
    """What a member has on the hub."""
    names = {item.metadata.name for item in (await root.list(EXPORTED_SERVICES, namespace=SET)).items}
    return {name for name in names if name.startswith(f"{member}.")}


async def is_marked(root: Client) -> bool:
    account = await root.get(SERVICE_ACCOUNTS, "east", namespace=MEMBERS_NAMESPACE)
    return FULL_LABELS["exportedservices"] in (account["metadata"].get("labels") or {})


@pytest.fixture
async def emptied(root: Client) -> AsyncIterator[None]:
    yield
    await root.delete_collection(EXPORTED_SERVICES, namespace=SET)
    await allow(root, None)


async def put(client: Client, name: str, note: str = "") -> None:
    wanted = export(name, exportedAnnotations={"note": note} if note else {})
    await client.apply(EXPORTED_SERVICES, wanted, namespace=SET, options=BY_HAND)


@pytest.mark.usefixtures("emptied")
async def test_who_has_as_many_as_it_may_is_refused_more_until_there_is_room(act: Act, root: Client) -> None:
    east, west = await act(f"{MEMBER_ACCOUNT_PREFIX}east"), await act(WEST)
    await allow(root, 2)
    async with holding(await act(HUB_USER)):
        for name in ("east.team.a", "east.team.b"):
            await put(east, name)
        await eventually(lambda: is_refused(east, "east.team.c"), what="there is no room for a third")
        await refused(put(east, "east.team.c"), MAY)
        # What is there goes on, and others go on.
        await put(east, "east.team.a")
        await put(west, "west.team.one")
        await eventually(lambda: has(root, {"east.team.a", "east.team.b"}), what="what was let in meanwhile is gone")
        await east.delete(EXPORTED_SERVICES, "east.team.a", namespace=SET)
        await eventually(lambda: is_taken(east, "east.team.c"), what="there is room again")
        await eventually(lambda: is_refused(east, "east.team.d"), what="and none")
        await allow(root, 3)
        await eventually(lambda: is_taken(east, "east.team.d"), what="an admin allows more")


@pytest.mark.usefixtures("emptied")
async def test_what_was_stored_unseen_goes_the_newest_first(act: Act, root: Client) -> None:
    east, west = await act(EAST), await act(WEST)
    first = [f"east.team.a{number}" for number in range(3)]
    for name in first:
        await put(east, name)
    await put(west, "west.team.one")
    more = [f"east.team.b{number:02}" for number in range(30)]
    await asyncio.gather(*(put(east, name) for name in more))
    await allow(root, 3)
    async with holding(await act(HUB_USER)):
        # The hub's clock has whole seconds: of one second, names decide.
        await eventually(lambda: has(root, set(first)), within=30.0, what="the oldest are left")
        await eventually(lambda: is_refused(east, "east.team.more"), what="and no more are let in")
    assert await stored(root, "west") == {"west.team.one"}
    # Another process of the controller knows whom the former has marked.
    await allow(root, 10)
    async with holding(await act(HUB_USER)):
        await eventually(lambda: is_taken(east, "east.team.more"), what="more are let in")
    assert not await is_marked(root)


@pytest.mark.usefixtures("emptied")
async def test_who_has_stored_as_much_as_it_may_is_refused_more_until_there_is_room(act: Act, root: Client) -> None:
    east = await act(f"{MEMBER_ACCOUNT_PREFIX}east")
    await root.merge_patch(MEMBERS, "east", {"spec": {"maxExportBytes": 100_000}}, namespace=SET)
    names = [f"east.team.{name}" for name in "abcd"]
    async with holding(await act(HUB_USER)):
        for name in names:
            await put(east, name, "v" * 30_000)
        await eventually(lambda: is_refused(east, "east.team.more"), what="there is no room, however small it is")
        await eventually(lambda: has(root, set(names)), what="what filled it up is kept, what came later is not")
        await refused(put(east, "east.team.more"), MAY)
        # What others own of one's object is stored too.
        owned = export(names[0], exportedLabels={f"{'n' * 300}{key}": "" for key in range(60)})
        for number in range(5):
            await east.apply(EXPORTED_SERVICES, owned, namespace=SET, options=WriteOptions(f"m{number}", force=True))
        await eventually(lambda: has(root, {names[0]}), what="of what has grown, the oldest is left")
        await east.delete(EXPORTED_SERVICES, names[0], namespace=SET)
        await eventually(lambda: is_taken(east, "east.team.more"), what="there is room again")
    await root.merge_patch(MEMBERS, "east", {"spec": {"maxExportBytes": None}}, namespace=SET)


async def has(root: Client, names: set[str]) -> bool:
    return await stored(root) == names


async def is_taken(client: Client, name: str) -> bool:
    try:
        await put(client, name)
    except Refused:
        return False
    return True


async def is_refused(client: Client, name: str) -> bool:
    """Whether it is refused; what still was let in is the controller's to take out."""
    return not await is_taken(client, name)
