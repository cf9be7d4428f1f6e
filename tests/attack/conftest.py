"""A stage for attacks: a hub with two sets, roles and policies; members that joined by tokens; a ledger."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from isthmus.api.isthmus import EXPORTED_SERVICES, MEMBERS
from isthmus.install.joining import Wanted, make_token
from isthmus.install.manifests import apply
from isthmus.install.roles import HUB_USER, hub_roles, member_access
from isthmus.inventory.rules.joining import JoinToken
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.fleet import Fleet
from tests.fleets import MakeFleet, make_fleet
from tests.install.conftest import BY_HAND, OTHER_SET, ROOT, SET, Kept, Secured, kept
from tests.install.test_joining import controllers
from tests.install.test_policies import export
from tests.joiners import Joiner, bearer_client, issued

__all__ = ["kept", "make_fleet"]

AN_HOUR = timedelta(hours=1)
MALLORY, VICTIM, STRANGER = "mallory", "victim", "stranger"


@dataclass
class Stage:
    """Who acts: the attacker and its victim, of one set; a stranger of another; and what they hold."""

    secured: Secured
    ticket: JoinToken
    # Tokens by account: the members', mallory's second one, and that of a cluster that only asks to join.
    tokens: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)


async def _staged(secured: Secured) -> Stage:
    async with AsyncExitStack() as stack:
        root = await stack.enter_async_context(secured.client(ROOT))
        await apply(root, hub_roles(OTHER_SET))
        await stack.enter_async_context(controllers(secured, SET, OTHER_SET))
        config = load_kubeconfig([secured.kubeconfig(ROOT)])
        asking = await make_token(root, config, Wanted(SET, AN_HOUR))
        stage = Stage(secured, asking, {asking.name: asking.bearer})
        for name, set_ in ((MALLORY, SET), (VICTIM, SET), (STRANGER, OTHER_SET)):
            token = await make_token(root, config, Wanted(set_, AN_HOUR, name))
            client = await stack.enter_async_context(bearer_client(token))
            stage.tokens[name] = await Joiner(token, client).joined(name, f"u-{name}")
            stage.secrets[name] = f"{name}-{token.id}"
        stage.tokens[f"{MALLORY}-works"] = await issued(root, f"{MALLORY}-works", {"expirationSeconds": 3600})
        pending = await stack.enter_async_context(bearer_client(asking))
        joiner = Joiner(asking, pending)
        await joiner.ask("applicant", "u-applicant")
        await joiner.answered("Pending")
        await apply(root, member_access(SET, VICTIM))
        async with bearer_client(asking, stage.tokens[VICTIM]) as victim:
            await victim.apply(EXPORTED_SERVICES, export(f"{VICTIM}.team.shop"), namespace=SET, options=BY_HAND)
        return stage


@dataclass
class Stages:
    """By kind, made when first asked for."""

    kept: Kept
    made: dict[str, Stage] = field(default_factory=dict)

    def get(self, kind: str) -> Stage:
        """The stage on that kind of server."""
        if kind not in self.made:
            self.made[kind] = asyncio.run(_staged(self.kept.get(kind)))
        return self.made[kind]


@pytest.fixture(scope="package")
def stages(kept: Kept) -> Stages:
    return Stages(kept)


@pytest.fixture
def stage(stages: Stages, kind: str) -> Stage:
    """The stage of the test's kind."""
    return stages.get(kind)


@pytest.fixture
async def act(stage: Stage) -> AsyncIterator[Callable[[str], Awaitable[Client]]]:
    """`await act("mallory")` has that account's token; the hub's controller and root come by certificate."""
    async with AsyncExitStack() as stack:

        async def enter(who: str) -> Client:
            if who in {ROOT, HUB_USER}:
                return await stack.enter_async_context(stage.secured.client(who))
            return await stack.enter_async_context(bearer_client(stage.ticket, stage.tokens[who]))

        yield enter


@pytest.fixture
def attacked(stage: Stage, make_fleet: MakeFleet) -> MakeFleet:
    """`async with attacked(["east", "west"]) as fleet`: at the hub with the policies."""
    return partial(make_fleet, hub=stage.secured.kubeconfig(ROOT))


@asynccontextmanager
async def intruded(fleet: Fleet, **approved: object) -> AsyncIterator[tuple[str, Client]]:
    """A member of that set and its own credential; what an admin has `approved` of it is in its Member."""
    # Accounts stay behind: names are for one test.
    name, root = f"{MALLORY}-{fleet.set}", fleet.hub.client
    token = await make_token(root, load_kubeconfig([fleet.hub.host.kubeconfig]), Wanted(fleet.set, AN_HOUR, name))
    async with bearer_client(token) as asking:
        joiner = Joiner(token, asking)
        await joiner.ask(name, f"u-{name}")
        own = await joiner.own_token(await joiner.answered("Approved"))
    await root.merge_patch(MEMBERS, name, {"spec": approved}, namespace=fleet.set)
    async with bearer_client(token, own) as member:
        yield name, member


Row = tuple[str, str, str, str]


@pytest.fixture(scope="package")
def ledger(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    """What was tried, by whom, on what kind of server, and what came of it; printed at the end."""
    rows: list[Row] = []
    yield rows
    writer = request.config.get_terminal_writer()
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        writer.line()
        writer.line(f"{len(rows)} attacks were tried:")
        for row in sorted(set(rows)):
            writer.line("  " + " | ".join(row))
