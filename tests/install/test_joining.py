"""Joining from the hub's side, with all roles and policies: tokens, requests, approval, departure, removal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import pytest

from isthmus.api.access import ROLE_BINDINGS, ROLES
from isthmus.api.core import EVENTS, LEASES, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import (
    APPROVED,
    DENIED,
    EXPORTED_SERVICES,
    HAS_LEFT,
    JOIN_REQUESTS,
    JOINED,
    MEMBERS,
    MEMBERS_NAMESPACE,
    PENDING,
    SYSTEM_NAMESPACE,
    TOKEN_LABEL,
)
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid, NotFound, Refused
from isthmus.hub import app as hub
from isthmus.install import joining
from isthmus.install.joining import Wanted
from isthmus.install.manifests import apply
from isthmus.install.roles import HUB_USER, hub_roles
from isthmus.inventory.controllers.joining import KEPT, Feeds, Joining
from isthmus.inventory.rules.joining import JoinToken
from isthmus.kit.clock import SYSTEM, FakeClock
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.kube.lease import sign_off
from isthmus.kube.request import Request
from isthmus.runtime.reconcile import Request as Key
from isthmus.testing.waiting import eventually
from tests.install.conftest import BY_HAND, OTHER_SET, ROOT, SET, VIEWER, Secured, refused
from tests.install.test_policies import export
from tests.joiners import Joiner, bearer_client, beat

T = TypeVar("T")

HOUR = timedelta(hours=1)


@pytest.fixture
async def root(secured: Secured) -> AsyncIterator[Client]:
    async with secured.client(ROOT) as client:
        await apply(client, hub_roles(OTHER_SET))
        yield client
        await cleared(client)


async def cleared(root: Client) -> None:
    """Whatever joined in a test is gone after it."""
    for name in ("south", "lonely"):
        with contextlib.suppress(Invalid):
            await joining.remove(root, name, force=True, say=lambda _: None)
    await root.delete_collection(JOIN_REQUESTS, namespace=MEMBERS_NAMESPACE)
    await root.delete_collection(SECRETS, namespace=MEMBERS_NAMESPACE)


@asynccontextmanager
async def controllers(secured: Secured, *sets: str, tunnel: str = "") -> AsyncIterator[None]:
    """The hub's controllers, with no more rights than their role."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = []
        for name in sets:
            client = await stack.enter_async_context(secured.client(HUB_USER))
            serving = hub.serve(client, hub.HubOptions(None, name, tunnel=tunnel), identity=f"hub-{name}")
            running.append(tasks.create_task(serving, name=f"hub {name}"))
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)


@pytest.fixture
async def serving(secured: Secured, root: Client) -> AsyncIterator[None]:
    async with controllers(secured, SET, OTHER_SET):
        yield


@pytest.fixture
async def join(secured: Secured, root: Client) -> AsyncIterator[Callable[..., Awaitable[Joiner]]]:
    """`await join("south")` has a token for that cluster; without a name for any."""
    async with AsyncExitStack() as stack:

        async def with_token(cluster: str = "", *, cluster_set: str = SET, ttl: timedelta = HOUR) -> Joiner:
            token = await token_for(secured, root, Wanted(cluster_set, ttl, cluster))
            return Joiner(token, await stack.enter_async_context(bearer_client(token)))

        yield with_token


async def token_for(secured: Secured, root: Client, wanted: Wanted) -> JoinToken:
    return await joining.make_token(root, load_kubeconfig([secured.kubeconfig(ROOT)]), wanted)


async def names(client: Client, kind: Resource[Manifest], namespace: str = MEMBERS_NAMESPACE) -> set[str]:
    return {item["metadata"]["name"] for item in (await client.list(kind, namespace=namespace)).items}


async def received(joiner: Joiner) -> None:
    """The cluster says that it has its own credential; perhaps the hub has seen that already."""
    patch = {"spec": {"received": True}}
    with contextlib.suppress(Refused, NotFound):
        await joiner.client.merge_patch(JOIN_REQUESTS, joiner.token.name, patch, namespace=MEMBERS_NAMESPACE)


async def is_locked_out(client: Client) -> bool:
    try:
        await client.list(MEMBERS, namespace=SET)
    except Refused as no:
        return no.code == 401
    return False


@pytest.mark.parametrize(
    ("tunnel", "phase", "proxy"),
    [
        pytest.param("", DENIED, "", id="a hub without one"),
        pytest.param("http://tunnel.example:8132", APPROVED, "http://south@tunnel.example:8132", id="a hub with one"),
    ],
)
@pytest.mark.requirement("INV-26")
async def test_who_is_reached_through_the_tunnel_alone_is_taken_where_there_is_one(
    secured: Secured, root: Client, join: Callable[..., Awaitable[Joiner]], tunnel: str, phase: str, proxy: str
) -> None:
    async with controllers(secured, SET, tunnel=tunnel):
        south = await join("south")
        await south.ask("south", "u-south", server="https://10.0.0.1:6443", tunnel=True)
        await south.answered(phase)
        found = [item.spec.proxy_url for item in (await root.list(MEMBERS, namespace=SET)).items if item.spec]
        assert proxy in found if proxy else not any(found)


@pytest.mark.usefixtures("serving")
@pytest.mark.requirement("ABOUT-26")
async def test_a_named_token_lets_its_cluster_in_and_is_worthless_then(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    south = await join("south")
    await south.ask("south", "u-south", podRanges=["0.0.0.0/0"], server="https://south.example:6443")
    request = await south.answered(APPROVED)
    member = await root.get(MEMBERS, "south", namespace=SET)
    assert member.spec is not None
    assert (member.spec.id, member.spec.set, member.spec.uid) == ("south", SET, "u-south")
    assert (member.spec.server, member.spec.pod_ranges) == ("https://south.example:6443", ())
    # Who let it in stands where people look, when token and request are long gone.
    assert member.metadata.labels[TOKEN_LABEL] == south.token.id
    events = (await root.list(EVENTS, namespace=SET)).items
    assert f"south (kube-system UID u-south) was let in by join token {south.token.id}, which named it" in {
        each.message for each in events if each.reason == "LetIn"
    }
    own = await south.own_token(request)
    async with bearer_client(south.token, own) as client:
        assert "south" in {item.metadata.name for item in (await client.list(MEMBERS, namespace=SET)).items}
        await client.apply(EXPORTED_SERVICES, export("south.team.shop"), namespace=SET, options=BY_HAND)
        await beat(client, "south")

        async def is_joined() -> bool:
            seen = await root.get(JOIN_REQUESTS, south.token.name, namespace=MEMBERS_NAMESPACE)
            return seen.status is not None and seen.status.phase == JOINED

        await eventually(is_joined, what="the first sign of life ends the joining")
        await eventually(lambda: is_locked_out(south.client), what="the token is worthless")
        # What is its own goes on; what belonged to the token goes.
        await client.list(MEMBERS, namespace=SET)

        async def is_tidy() -> bool:
            kinds = (SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS, SECRETS)
            return not any([south.token.name in await names(root, kind) for kind in kinds])

        await eventually(is_tidy, within=60.0, what="nothing of the token is left but its record")


@pytest.mark.usefixtures("serving")
async def test_an_unnamed_token_waits_for_an_admin(root: Client, join: Callable[..., Awaitable[Joiner]]) -> None:
    south, thief = await join(), await join()
    await south.ask("south", "u-south")
    pending = await south.answered(PENDING)
    assert pending.status is not None
    assert "isthmus approve south" in pending.status.reason
    await thief.ask("south", "u-thief")
    await thief.answered(PENDING)
    with pytest.raises(Invalid, match=r"several clusters ask for the name south: .*u-"):
        await joining.approve(root, "south")
    await joining.deny(root, thief.token.name, "not ours")
    await joining.approve(root, "south")
    await south.answered(APPROVED)
    denied = await thief.answered(DENIED)
    assert denied.status is not None
    assert denied.status.reason == "an admin refused it: not ours"
    with pytest.raises(Invalid, match=r"south is (Approved|Denied) already"):
        await joining.deny(root, "south")
    with pytest.raises(Invalid, match="no cluster asks to join as nobody"):
        await joining.approve(root, "nobody")
    shown = {item["id"]: item["phase"] for item in await joining.tokens(root, SET)}
    assert (shown[south.token.id], shown[thief.token.id]) == (APPROVED, DENIED)


@pytest.mark.usefixtures("serving")
@pytest.mark.requirement("ABOUT-9", "ABOUT-23", "ABOUT-30")
async def test_of_two_clusters_that_claim_one_id_the_second_is_refused_in_whatever_set(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    first, second = await join("south"), await join("south")
    elsewhere, other_name = await join("south", cluster_set=OTHER_SET), await join("lonely", cluster_set=OTHER_SET)
    await asyncio.gather(first.ask("south", "u-1"), second.ask("south", "u-2"))

    async def phases() -> set[str]:
        found = [
            await root.get(JOIN_REQUESTS, each.token.name, namespace=MEMBERS_NAMESPACE) for each in (first, second)
        ]
        return {each.status.phase if each.status is not None else "" for each in found}

    await eventually(lambda: _equals(phases, {APPROVED, DENIED}), what="one is in, one is not")
    for joiner, words in ((elsewhere, f"taken on this hub, in set {SET}"), (other_name, f"member south of set {SET}")):
        uid = (await root.get(MEMBERS, "south", namespace=SET)).spec
        assert uid is not None
        await joiner.ask("south" if joiner is elsewhere else "lonely", uid.uid)
        denied = await joiner.answered(DENIED)
        assert denied.status is not None
        assert words in denied.status.reason


async def _equals(found: Callable[[], Awaitable[set[str]]], wanted: set[str]) -> bool:
    return await found() == wanted


@pytest.mark.usefixtures("serving")
@pytest.mark.requirement("ABOUT-9", "ABOUT-23")
async def test_a_cluster_that_moves_asks_first_and_comes_once_its_former_set_has_let_go(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    old = await join("south")
    former = await old.joined("south", "u-south")
    new = await join("south", cluster_set=OTHER_SET)
    await new.ask("south", "u-south", moving=True)

    async def says(words: str) -> bool:
        status = (await root.get(JOIN_REQUESTS, new.token.name, namespace=MEMBERS_NAMESPACE)).status
        return status is not None and status.phase == APPROVED and words in status.reason and not status.credential

    await eventually(lambda: says("once it has left its set"), what="it may come")
    assert "south" not in {item.metadata.name for item in (await root.list(MEMBERS, namespace=OTHER_SET)).items}
    async with bearer_client(old.token, former) as client:
        await client.delete(MEMBERS, "south", namespace=SET)
        patch = {"spec": {"moving": False}}
        await new.client.merge_patch(JOIN_REQUESTS, new.token.name, patch, namespace=MEMBERS_NAMESPACE)
        await eventually(lambda: says(f"set {SET} has yet to take back"), what="its name waits")
        await sign_off(client, namespace=MEMBERS_NAMESPACE, name="south", holder=HAS_LEFT)
        own = await new.own_token(await new.answered(APPROVED))
        await eventually(lambda: is_locked_out(client), what="the old credential ends")
    async with bearer_client(new.token, own) as client:
        await eventually(lambda: may_list(client, OTHER_SET), what="it is a member of the new set")
        assert not await may_list(client, SET)
        await beat(client, "south")
        await received(new)
        await eventually(lambda: is_locked_out(new.client), what="the token has done its work")
        # What the former set took away, it took from the former member only.
        await client.list(MEMBERS, namespace=OTHER_SET)


async def may_list(client: Client, cluster_set: str) -> bool:
    try:
        await client.list(MEMBERS, namespace=cluster_set)
    except Refused:
        return False
    return True


@pytest.mark.usefixtures("serving")
async def test_the_same_cluster_joins_again_as_a_repair_and_its_old_token_ends(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    first = await join("south")
    old = await first.joined("south", "u-south")
    before = (await root.get(MEMBERS, "south", namespace=SET)).spec
    again = await join("south")
    await again.ask("south", "u-south")
    new = await again.own_token(await again.answered(APPROVED))
    async with bearer_client(again.token, old) as former, bearer_client(again.token, new) as current:
        # The old agent's signs of life do not end the joining: the cluster says when it has its credential.
        await beat(former, "south")
        await received(again)
        await eventually(lambda: is_locked_out(former), what="the old credential ends")
        await current.list(MEMBERS, namespace=SET)
    after = (await root.get(MEMBERS, "south", namespace=SET)).spec
    assert before is not None
    assert after is not None
    assert (after.joined_at, after.uid) == (before.joined_at, before.uid)


@pytest.mark.usefixtures("serving")
async def test_a_token_is_for_one_cluster_and_the_time_it_says(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    south = await join()
    await south.ask("south", "u-south")
    used = south.client.merge_patch(
        JOIN_REQUESTS, south.token.name, {"spec": {"uid": "u-2"}}, namespace=MEMBERS_NAMESPACE
    )
    await refused(used, r"this token was used by cluster south \(kube-system UID u-south\)")
    short = await join(ttl=timedelta(seconds=2))
    await short.ask("lonely", "u-lonely")

    async def is_refused() -> bool:
        status = (await root.get(JOIN_REQUESTS, short.token.name, namespace=MEMBERS_NAMESPACE)).status
        return status is not None and status.phase == DENIED and "the token has ended" in status.reason

    await eventually(is_refused, what="nobody waits longer than the token lasts")
    revoked = await join("lonely")
    await joining.revoke(root, revoked.token.id)
    await eventually(lambda: is_locked_out(revoked.client), what="a revoked token is worthless")
    with pytest.raises(Invalid, match="isthmus token list"):
        await joining.revoke(root, revoked.token.id)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        pytest.param({"cluster_set": "Prod"}, "not one DNS label", id="a set's name"),
        pytest.param({"cluster": "join-x"}, "kept for Isthmus", id="a name that tokens have"),
        pytest.param({"cluster": "east-works"}, "kept for Isthmus", id="a name that accounts for Works have"),
        pytest.param({"ttl": timedelta(days=30)}, "at most 7 days", id="too long"),
        pytest.param({"ttl": timedelta()}, "--ttl", id="no time"),
        pytest.param({"server": "http://hub"}, "https", id="no https"),
    ],
)
def test_what_no_token_is_made_for(wanted: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        Wanted(**{"cluster_set": SET, "ttl": HOUR, **wanted})  # type: ignore[arg-type]  # as given


async def test_a_hub_makes_no_token_for_a_set_that_is_not_there(root: Client, secured: Secured) -> None:
    with pytest.raises(Invalid, match=rf"is no hub of set nowhere; its sets: .*{SET}"):
        await token_for(secured, root, Wanted("nowhere", HOUR))


async def test_who_lacks_rights_for_a_token_hears_of_all_before_anything_is_made(
    root: Client, secured: Secured
) -> None:
    before = await names(root, SECRETS)
    config = load_kubeconfig([secured.kubeconfig(VIEWER)])
    async with secured.client(VIEWER) as viewer:
        with pytest.raises(Invalid, match="nothing was written") as refused:
            await joining.make_token(viewer, config, Wanted(SET, HOUR))
    for right in ("secrets", "serviceaccounts", "serviceaccounts/token", "roles.rbac.authorization.k8s.io"):
        assert f"create {right} in isthmus-members" in str(refused.value)
    assert await names(root, SECRETS) == before


@pytest.mark.usefixtures("serving")
async def test_removing_a_member_makes_its_tokens_worthless_and_leaves_nothing(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    south = await join("south")
    own = await south.joined("south", "u-south")
    async with bearer_client(south.token, own) as client:
        await client.apply(EXPORTED_SERVICES, export("south.team.shop"), namespace=SET, options=BY_HAND)
        said: list[str] = []

        async def leave() -> None:
            """As an agent does."""
            await eventually(lambda: _is_no_member(client), what="it is told that it is no member")
            await sign_off(client, namespace=MEMBERS_NAMESPACE, name="south", holder=HAS_LEFT)

        await asyncio.gather(joining.remove(root, "south", say=said.append), leave())
        assert "south has taken everything back" in said
        await eventually(lambda: is_locked_out(client), what="its token is worthless")
    assert said[-1].endswith("on south itself stay, until its admin types: isthmus leave --context south")
    await nothing_left(root, "south")
    with pytest.raises(Invalid, match="knows no member south"):
        await joining.remove(root, "south", say=said.append)


async def _is_no_member(client: Client) -> bool:
    try:
        await client.get(MEMBERS, "south", namespace=SET)
    except NotFound:
        return True
    return False


async def nothing_left(root: Client, member: str) -> None:
    """No object on the hub that names the member or holds anything of it."""

    async def left() -> list[str]:
        found: list[str] = []
        for kind in (SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS, SECRETS):
            for namespace in (MEMBERS_NAMESPACE, SET):
                found += [f"{kind.kind} {name}" for name in await names(root, kind, namespace) if member in name]
        leases = (await root.list(LEASES, namespace=MEMBERS_NAMESPACE)).items
        found += [f"Lease {item.metadata.name}" for item in leases if member in item.metadata.name]
        requests = (await root.list(JOIN_REQUESTS, namespace=MEMBERS_NAMESPACE)).items
        found += [item.metadata.name for item in requests if item.spec is not None and item.spec.cluster == member]
        members = (await root.list(MEMBERS, namespace=SET)).items
        exports = (await root.list(EXPORTED_SERVICES, namespace=SET)).items
        called = [item.metadata.name for item in (*members, *exports)]
        return found + [name for name in called if name.split(".")[0] == member]

    async def is_clean() -> bool:
        return not await left()

    await eventually(is_clean, within=60.0, what=f"nothing of {member} on the hub: {await left()}")


@pytest.mark.usefixtures("serving")
async def test_a_cluster_that_takes_itself_off_the_list_leaves_nothing_on_the_hub(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    south = await join("south")
    own = await south.joined("south", "u-south")
    async with bearer_client(south.token, own) as client:
        await client.delete(MEMBERS, "south", namespace=SET)
        await sign_off(client, namespace=MEMBERS_NAMESPACE, name="south", holder=HAS_LEFT)
        await eventually(lambda: is_locked_out(client), what="its token is worthless")
    await nothing_left(root, "south")


@pytest.mark.usefixtures("serving")
@pytest.mark.requirement("ABOUT-9", "ABOUT-23")
async def test_of_two_clusters_with_one_kubeconfig_the_hub_keeps_to_the_first_that_says_who_it_is(root: Client) -> None:
    for name in ("south", "lonely"):
        record = {"metadata": {"name": name}, "spec": {"id": name, "set": SET}}
        await root.apply(MEMBERS, record, namespace=SET, options=BY_HAND)

    async def says(name: str, uid: str) -> None:
        await root.merge_patch(MEMBERS, name, {"status": {"uid": uid}}, namespace=SET, subresource="status")

    async def known(name: str) -> str:
        spec = (await root.get(MEMBERS, name, namespace=SET)).spec
        return spec.uid if spec is not None else ""

    await says("south", "u-1")
    await eventually(lambda: _is(known("south"), "u-1"), what="the first is on record")
    await says("south", "u-2")
    # Nor is anybody what another is.
    await says("lonely", "u-1")
    await says("lonely", "u-3")
    await eventually(lambda: _is(known("lonely"), "u-3"), what="the other member is on record")
    assert await known("south") == "u-1"


async def _is(found: Awaitable[str], wanted: str) -> bool:
    return await found == wanted


@pytest.mark.usefixtures("serving")
async def test_a_removed_cluster_does_not_come_in_again_by_the_token_that_let_it_in(
    root: Client, join: Callable[..., Awaitable[Joiner]]
) -> None:
    south, unused = await join("south"), await join("south")
    await south.ask("south", "u-south")
    await south.own_token(await south.answered(APPROVED))
    await joining.remove(root, "south", force=True, say=lambda _: None)
    await eventually(lambda: is_locked_out(south.client), what="its token is worthless")
    # One that an admin made for its coming back is good.
    await unused.ask("south", "u-south")
    await unused.answered(APPROVED)


async def test_who_was_let_in_and_never_came_is_taken_off_the_list(
    root: Client, secured: Secured, join: Callable[..., Awaitable[Joiner]]
) -> None:
    south = await join("south")
    async with controllers(secured, SET):
        await south.ask("south", "u-south")
        await south.answered(APPROVED)
    feeds = Feeds(Informer(root, JOIN_REQUESTS), Informer(root, MEMBERS), Informer(root, LEASES))
    key = Key("hub", MEMBERS_NAMESPACE, south.token.name)

    async def is_listed(after: timedelta) -> bool:
        await Joining(root, SET, feeds, hub.RIGHTS, clock=FakeClock(SYSTEM.now() + after)).reconcile(key)
        return "south" in {item.metadata.name for item in (await root.list(MEMBERS, namespace=SET)).items}

    assert await is_listed(KEPT - HOUR)
    assert not await is_listed(KEPT + HOUR)


async def test_a_cluster_that_leaves_while_no_controller_runs_leaves_nothing_either(
    root: Client, secured: Secured, join: Callable[..., Awaitable[Joiner]]
) -> None:
    south = await join("south")
    async with controllers(secured, SET):
        own = await south.joined("south", "u-south")
    async with bearer_client(south.token, own) as client:
        await client.apply(EXPORTED_SERVICES, export("south.team.shop"), namespace=SET, options=BY_HAND)
        await client.delete(MEMBERS, "south", namespace=SET)
        await sign_off(client, namespace=MEMBERS_NAMESPACE, name="south", holder=HAS_LEFT)
    async with controllers(secured, SET):
        await nothing_left(root, "south")


class Mortal(Client):
    """A hub's client that has one kind of write done, and then nothing ever again."""

    def __init__(self, secured: Secured, step: str) -> None:
        super().__init__(load_kubeconfig([secured.kubeconfig(HUB_USER)]))
        self._step = step
        self.died = asyncio.Event()

    async def _object(self, resource: Resource[T], request: Request) -> T:
        if self.died.is_set():
            await asyncio.Event().wait()
        answer = await super()._object(resource, request)
        if request.method != "GET" and self._step in request.path:
            self.died.set()
            await asyncio.Event().wait()
        return answer


@pytest.mark.parametrize(
    "step", ["/serviceaccounts", "/roles/", "/rolebindings/", "/members/south", "/secrets", "/status"]
)
async def test_a_controller_that_dies_at_any_step_of_an_approval_goes_on(
    root: Client, secured: Secured, join: Callable[..., Awaitable[Joiner]], step: str
) -> None:
    south = await join("south")
    await south.ask("south", "u-south")
    async with Mortal(secured, step) as mortal:
        await done_for(hub.serve(mortal, hub.HubOptions(None, SET), identity="mortal"), mortal.died)
    lease = f"isthmus-hub-{SET}"
    await root.merge_patch(LEASES, lease, {"spec": {"holderIdentity": ""}}, namespace=SYSTEM_NAMESPACE)
    async with controllers(secured, SET):
        own = await south.own_token(await south.answered(APPROVED, within=60.0))
        async with bearer_client(south.token, own) as client:
            await beat(client, "south")
            await client.list(MEMBERS, namespace=SET)
            await received(south)
            await eventually(lambda: is_locked_out(south.client), what="the join token ends")
    anchors = [name for name in await names(root, SECRETS) if name.startswith("south-")]
    assert anchors == [f"south-{south.token.id}"]


async def done_for(work: Coroutine[None, None, None], died: asyncio.Event) -> None:
    """Run it until it has died of its own step, then be rid of it."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work)
        await asyncio.wait_for(died.wait(), 60.0)
        running.cancel()
