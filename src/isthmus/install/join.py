"""Makes a cluster a member, step by step; each may be the last, and all of them can be run again.

First everything is looked at and nothing written; then the hub is asked; then the member is made; then it is waited
for until the hub has heard its agent. What a former, unfinished run did is found and used.
"""

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from isthmus import __version__
from isthmus.agent.needs import served_properties
from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import LEASES
from isthmus.api.isthmus import HEALTHY, MEMBERS, MEMBERS_NAMESPACE, JoinRequestSpec, MemberSpec
from isthmus.api.scheme import Manifest
from isthmus.errors import APIError, Invalid, IsthmusError, NotFound, Unreachable
from isthmus.install.apply import demand_installable, install
from isthmus.install.credential import is_this_machine
from isthmus.install.held import Held
from isthmus.install.homes import Home
from isthmus.install.joinable import (
    NEW_TOKEN,
    RIGHTS,
    Identity,
    as_left,
    clash,
    identity,
    name_for,
    token_problem,
)
from isthmus.install.kinds import whole
from isthmus.install.manifests import MANAGER
from isthmus.install.petition import Petition, SpentToken, hub_of
from isthmus.install.rights import Right, demand_rights
from isthmus.install.uninstall import TO_UNINSTALL
from isthmus.install.works import (
    Works,
    demand_works,
    property_manifest,
    withdraw_works,
    works_manifests,
    works_property,
)
from isthmus.inventory.rules.joining import JoinToken
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, WriteOptions
from isthmus.kube.config import Config

Say = Callable[[str], None]

_OWN_ADDRESS: Final = "https://kubernetes.default.svc"
# Seconds.
_READY_WITHIN: Final = 180.0
_FIRST_LOOK: Final = 0.05
_LOOK: Final = 0.3


@dataclass(frozen=True)
class JoinOptions:
    """How a cluster joins: under which name (empty: the token's, its id's or `context`), and what it says of itself.

    `address` is where others reach its API server; empty: where `config` does. `proxy` leads to the hub. With `tunnel`,
    others come through the hub's. `approved_within` is in seconds. `also` is what whoever joins is to have the right to
    do afterwards.
    """

    config: Config
    name: str = ""
    context: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    works: Works = field(default_factory=Works)
    address: str = ""
    proxy: str = ""
    beside: bool = False
    approved_within: float = 600.0
    tunnel: bool = False
    also: tuple[Right, ...] = ()


async def join(
    token: JoinToken, member: Client, options: JoinOptions, home: Home, *, say: Say, clock: Clock = SYSTEM
) -> Held:
    """Make the cluster a member whose agent lives in `home`; what it now holds.

    Raises Invalid, with nothing written, where it cannot join; Unreachable where something has to be waited for
    longer than we do, or does not answer. Then the same again goes on from there.
    """
    joining = Joining(token, member, options, home, say, clock)
    name, seen, held = await joining.look()
    async with hub_of(token, options.proxy, clock) as petition:
        say(f"asking {token.server} to take {name} into set {token.set}")
        held = await joining.admitted(petition, name, seen, held)
        last = await joining.last_beat(held)
        await joining.put_up(held, seen)
        await petition.received()
    await joining.wait_ready(held, last)
    return held


def nominal(token: JoinToken, name: str, proxy: str = "") -> Held:
    """What a member of that name will hold, before it has a token."""
    return Held(name, token.set, token.server, token.authority, proxy or token.proxy)


def manifests_for(home: Home, held: Held, options: JoinOptions) -> tuple[Manifest, ...]:
    """All that the member gets, in order."""
    said = {**options.properties, **works_property(options.works)}
    properties = (property_manifest(name, value) for name, value in said.items())
    return (*home.manifests(held), *works_manifests(options.works), *properties)


@dataclass(frozen=True)
class Joining:
    """One joining, step by step."""

    token: JoinToken
    member: Client
    options: JoinOptions
    home: Home
    say: Say
    clock: Clock

    async def look(self, *, leaving: bool = False) -> tuple[str, Identity, Held | None]:
        """Everything that can be known before anything is written. Raises Invalid.

        Of a cluster that is `leaving` a set, what it will be then counts, and not what it holds.
        """
        token, options, member = self.token, self.options, self.member
        if problem := token_problem(token, self.clock.now()):
            raise Invalid(problem)
        await self.home.demand(token.server)
        # Rights do not depend on the name, and all that follows does on them.
        also = (*RIGHTS, *options.also, *(TO_UNINSTALL if leaving else ()))
        await demand_rights(member, self._manifests(nominal(token, "nobody")), also)
        seen = await identity(member)
        held = await self.home.held()
        name = name_for(token, options.name, seen.properties.get(CLUSTER_ID, ""), options.context)
        then, holds = (as_left(seen), None) if leaving else (seen, held)
        if problem := clash(name, token, then, holds, options.properties):
            raise Invalid(f"nothing was written: {problem}")
        await demand_works(member, options.works)
        manifests = self._manifests(nominal(token, name))
        if leaving:
            # Those that are there bear the name of the former set.
            manifests = tuple(each for each in manifests if each["kind"] != DEPLOYMENTS.kind)
        await demand_installable(member, manifests, beside=options.beside)
        return name, seen, held

    def _manifests(self, held: Held) -> tuple[Manifest, ...]:
        return (*self.home.manifests(held), *works_manifests(self.options.works))

    async def admitted(self, petition: Petition, name: str, seen: Identity, held: Held | None) -> Held:
        """The member's own credential: a new one, or what it has where the join token has done its work."""
        try:
            await petition.ask(self._request(name, seen))
            request = await petition.wait_approved(name, within=self.options.approved_within, say=self.say)
            made = await petition.own_token(request, name, self.options.proxy)
        except SpentToken:
            known = await self._known(held) if held is not None else None
            if held is None or known is None:
                raise
            if untold := self._untold(known):
                raise Invalid(
                    f"the token has done its work, and the hub would not hear of {untold}: nothing was written. "
                    f"{NEW_TOKEN} --cluster {name}"
                ) from None
            self.say(f"the token has done its work: repairing {name} with what it holds")
            return held
        self.say(f"{name} is approved: {request.status.reason if request.status else ''}")
        return made

    async def cleared(self, petition: Petition, name: str, seen: Identity) -> None:
        """Have the hub say that the cluster may come, once it has left its set. Raises Invalid, Unreachable."""
        await petition.ask(msgspec.structs.replace(self._request(name, seen), moving=True))
        request = await petition.wait_approved(name, within=self.options.approved_within, say=self.say, leaving=True)
        self.say(f"the hub of set {self.token.set}: {request.status.reason if request.status else ''}")

    def _request(self, name: str, seen: Identity) -> JoinRequestSpec:
        config = self.options.config
        authority = config.trust.authority.read() if config.trust.authority else b""
        # Through a tunnel, any name will do that the cluster's certificate has, and this one every cluster's has.
        own = _OWN_ADDRESS if self.options.tunnel else ""
        address = self.options.address or (own if is_this_machine(config.server) else config.server)
        return JoinRequestSpec(
            cluster=name,
            set=self.token.set,
            uid=seen.uid,
            server=address,
            certificate_authority=base64.b64encode(authority).decode() if address else "",
            kubernetes_version=seen.version,
            agent_version=__version__,
            tunnel=self.options.tunnel,
        )

    async def _known(self, held: Held) -> MemberSpec | None:
        """What the hub holds of the member that this cluster is, if it is one still."""
        async with Client(self.home.at_hub(held), clock=self.clock) as hub:
            try:
                return (await hub.get(MEMBERS, held.cluster, namespace=held.set)).spec
            except APIError:
                return None

    def _untold(self, known: MemberSpec) -> str:
        """What is asked for now and concerns the hub, where that knows otherwise."""
        address = self.options.address
        if address and address != known.server:
            return f"--server {address} (it knows {known.server or 'no address'})"
        if self.options.tunnel != (f"://{known.id}@" in known.proxy_url):
            return "--tunnel" if self.options.tunnel else f"a joining without --tunnel (it knows {known.proxy_url})"
        return ""

    async def last_beat(self, held: Held) -> str | None:
        """When the hub heard this member last, in its agent's words; None if never."""
        with suppress(APIError):
            async with Client(self.home.at_hub(held), clock=self.clock) as hub:
                return (await hub.get(LEASES, held.cluster, namespace=MEMBERS_NAMESPACE)).spec.renew_time
        return None

    async def put_up(self, held: Held, seen: Identity) -> None:
        """All of the member, its properties, and its agent."""
        works = self.options.works
        await withdraw_works(self.member, works)
        manifests = self._manifests(held)
        await install(self.member, manifests, say=self.say, wait=False, beside=self.options.beside)
        kind = whole(await served_properties(self.member) or CLUSTER_PROPERTIES)
        for name, value in {**self.options.properties, **works_property(works)}.items():
            if name in seen.ours or name not in seen.properties:
                manifest = property_manifest(name, value)
                manifest["apiVersion"] = kind.api_version
                await self.member.apply(kind, manifest, options=WriteOptions(manager=MANAGER, force=True))
        await self.home.settle(held)

    async def wait_ready(self, held: Held, last: str | None) -> None:
        """Return once the hub has heard the agent anew, and nothing is missing where it lives. Raises Unreachable."""
        end = self.clock.monotonic() + _READY_WITHIN
        said, pause = "", _FIRST_LOOK
        async with Client(self.home.at_hub(held), clock=self.clock) as hub:
            while True:
                why = await self._unheard(hub, held, last)
                missing = await self.home.missing()
                if not (why or missing):
                    return
                now = "; ".join(filter(None, (missing, why)))
                if now != said:
                    self.say(f"waiting: {now}")
                    said = now
                if self.clock.monotonic() > end:
                    raise Unreachable(
                        f"{held.cluster} is not ready after {_READY_WITHIN:.0f} s: {now}. "
                        "What was done stays: once that is mended, type this again"
                    )
                await self.clock.sleep(pause)
                pause = min(_LOOK, pause * 2)

    async def _unheard(self, hub: Client, held: Held, last: str | None) -> str:
        try:
            beat = (await hub.get(LEASES, held.cluster, namespace=MEMBERS_NAMESPACE)).spec.renew_time
            record = await hub.get(MEMBERS, held.cluster, namespace=held.set)
        except NotFound:
            return "the hub has not heard the agent"
        except IsthmusError as problem:
            return f"the hub does not answer: {problem}"
        if beat == last or record.status is None or not record.status.agent_version:
            return "the hub has not heard the agent"
        if record.spec is None or record.spec.health.state != HEALTHY:
            return "the hub has no new verdict on it yet"
        return ""
