"""The hub's side of joining: judges requests, gives approved clusters their access, and ends tokens and departures.

One request is brought from state to state; each step can be repeated, and what was done stands on the hub: a controller
that dies anywhere goes on where it was.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from isthmus.api.core import LEASES, SECRETS, SERVICE_ACCOUNTS, Lease
from isthmus.api.isthmus import (
    APPROVED,
    CLUSTER_LABEL,
    DENIED,
    HAS_LEFT,
    HUB_MANAGER,
    JOIN_PREFIX,
    JOIN_REQUESTS,
    JOINED,
    MEMBERS,
    MEMBERS_NAMESPACE,
    SET_LABEL,
    TOKEN_LABEL,
    JoinRequest,
    JoinRequestSpec,
    Member,
)
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, NotFound
from isthmus.inventory.controllers.access import (
    WRITE,
    Rights,
    Taken,
    anchored,
    drop_anchors,
    drop_exports,
    give,
    gone,
    grant,
    take,
)
from isthmus.inventory.rules import joining
from isthmus.inventory.rules.joining import Decision, Ticket, decide
from isthmus.kit.clock import Clock
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.events import Recorder
from isthmus.kube.informer import Change, Informer
from isthmus.kube.request import WriteOptions
from isthmus.runtime.controller import Controller
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.runtime.source import Source, each

log = logging.getLogger(__name__)

# For how long a request is kept once all is said: it is the record of the token's use.
KEPT: Final = timedelta(days=1)
# Seconds between two looks at tokens that end by themselves.
_SWEEP: Final = 60.0
# Seconds that a member which was taken off the list has to take everything back, before its access is taken.
FAREWELL: Final = 60.0
_LOOK: Final = 0.5
_SWEEPING: Final = "sweep"
_LEAVING: Final = "leave "
_PINNING: Final = "pin "
_AS_HUB: Final = WriteOptions(manager=HUB_MANAGER)


@dataclass(frozen=True)
class Feeds:
    """What the hub's controller watches, in one set: requests of all sets, its Members, all Leases."""

    requests: Informer[JoinRequest]
    members: Informer[Member]
    leases: Informer[Lease]


class Joining:
    """Serves the requests whose token is for one set."""

    def __init__(self, client: Client, cluster_set: str, feeds: Feeds, rights: Rights, *, clock: Clock) -> None:
        self._client = client
        self._set = cluster_set
        self._feeds = feeds
        self._rights = rights
        self._clock = clock
        self._recorder = Recorder(client, "isthmus-hub", clock)
        # Requests that wait for the first sign of life of a cluster.
        self._awaited: dict[str, str] = {}
        self._left_at: dict[str, float] = {}

    def watch(self, controller: Controller) -> None:
        """Requests; Members that go; the first Lease of a cluster that was approved."""
        controller.watch(Source(self._feeds.requests, each(lambda item: [_key(item.metadata.name)])))

        def heard(change: Change[Lease]) -> None:
            lease = change.after
            if lease is not None and (waiting := self._awaited.get(lease.metadata.name)):
                controller.add(_key(waiting))

        def changed(change: Change[Member]) -> None:
            if change.after is None and change.before is not None:
                controller.add(_key(_LEAVING + change.before.metadata.name))

        self._feeds.leases.subscribe(heard)
        self._feeds.members.subscribe(changed)
        controller.watch(Source(self._feeds.members, each(lambda item: [_key(_PINNING + item.metadata.name)])))
        controller.watch(Source(self._feeds.leases, lambda _: ()))
        controller.add(_key(_SWEEPING))

    async def reconcile(self, key: Request) -> Done | After:
        """One request; or all tokens, for those that have ended; or one cluster that has left."""
        if key.name == _SWEEPING:
            return await self._sweep()
        if key.name.startswith(_PINNING):
            return await self._pin(key.name.removeprefix(_PINNING))
        if key.name.startswith(_LEAVING):
            return await self._let_go(key.name.removeprefix(_LEAVING))
        try:
            # Not from the informer: two steps may follow each other faster than it hears of the first.
            request = await self._client.get(JOIN_REQUESTS, key.name, namespace=MEMBERS_NAMESPACE)
        except NotFound:
            return Done()
        if request.spec is None:
            return Done()
        return await self._serve(request, request.spec)

    async def _serve(self, request: JoinRequest, spec: JoinRequestSpec) -> Done | After:
        phase = request.status.phase if request.status is not None else ""
        of = await self._ticket(request.metadata.name)
        if (of.set if of is not None else spec.set) != self._set:
            return Done()
        if phase in {DENIED, JOINED}:
            return await self._keep(request, phase, of)
        if phase == APPROVED and request.status is not None and request.status.credential is not None:
            return await self._await_arrival(request, spec, of)
        if of is None:
            await self._tell(request, Decision(DENIED, joining.ENDED))
            return Done()
        decision = await self._decide(spec, of, is_approved=phase == APPROVED)
        given: Manifest = {}
        waits = (of.expires - self._clock.now()).total_seconds()
        if decision.phase == APPROVED and not spec.moving:
            try:
                given = await self._admit(request.metadata.name, spec, of)
            except Taken as taken:
                decision = joining.held_up(spec.cluster, taken.owner, (await self._client.list(MEMBERS)).items)
                waits = _LOOK
        await self._tell(request, decision, given)
        return Done() if given or decision.phase == DENIED else After(waits)

    async def _decide(self, spec: JoinRequestSpec, of: Ticket, *, is_approved: bool) -> Decision:
        if problem := self._rights.id_problem(spec.cluster):
            return Decision(DENIED, problem)
        if spec.tunnel and not self._rights.tunnel:
            return Decision(DENIED, joining.NO_TUNNEL)
        # Of all sets: names and accounts are one space for the whole hub.
        members = (await self._client.list(MEMBERS)).items
        return decide(spec, of, members, is_approved=is_approved, now=self._clock.now())

    async def _admit(self, name: str, spec: JoinRequestSpec, of: Ticket) -> Manifest:
        """Everything that the cluster needs; what the request is to say of it."""
        token = name.removeprefix(JOIN_PREFIX)
        try:
            known: Member | None = await self._client.get(MEMBERS, spec.cluster, namespace=self._set)
        except NotFound:
            known = None
        await give(self._client, spec, self._rights)
        record = joining.record(token, spec, of, known, now=self._clock.now(), tunnel=self._rights.tunnel)
        member = await self._client.apply(MEMBERS, record, options=WRITE)
        how = "named it" if of.cluster else "was approved by an admin"
        said = f"{spec.cluster} (kube-system UID {spec.uid}) was let in by join token {token}, which {how}"
        await self._recorder.emit(member, type="Normal", reason="LetIn", message=said)
        secret = joining.anchor(spec.cluster, self._set, token)
        uid = await anchored(self._client, secret)
        await grant(self._client, self._rights.of_token(name, spec.cluster))
        log.info("cluster admitted", extra={"cluster": spec.cluster, "set": self._set, "request": name})
        credential = {"account": spec.cluster, "secret": secret["metadata"]["name"], "uid": uid}
        # A Lease may be there of a former membership, in this set or another.
        has_beaten = self._feeds.leases.store.get(spec.cluster, MEMBERS_NAMESPACE) is not None
        return {"credential": credential, "again": known is not None or has_beaten}

    async def _await_arrival(self, request: JoinRequest, spec: JoinRequestSpec, of: Ticket | None) -> Done | After:
        """Joined once it gives signs of life by its own credential: then the token may end."""
        name = request.metadata.name
        is_heard = self._feeds.leases.store.get(spec.cluster, MEMBERS_NAMESPACE) is not None
        was_member = request.status is not None and request.status.again
        # A cluster that comes again has a Lease by its former credential: it has to say that it has the new one.
        if not is_heard or (was_member and not spec.received):
            self._awaited[spec.cluster] = name
            return Done() if is_heard or was_member else await self._give_up(request, spec, of)
        self._awaited.pop(spec.cluster, None)
        token = name.removeprefix(JOIN_PREFIX)
        await drop_anchors(self._client, spec.cluster, but=f"{spec.cluster}-{token}")
        await self._tell(request, Decision(JOINED, f"joined at {joining.moment(self._clock.now())}"))
        await gone(self._client, SECRETS, name, MEMBERS_NAMESPACE)
        return Done()

    async def _give_up(self, request: JoinRequest, spec: JoinRequestSpec, of: Ticket | None) -> Done | After:
        """Take off the list whoever never came, once its token has ended: with its Member goes all that it was given.

        By then a request that was answered at the last moment has been there for as long as others are kept.
        """
        asked = request.metadata.creation_timestamp or self._clock.now()
        end = max(asked + KEPT, of.expires) if of is not None else asked + KEPT
        left = (end - self._clock.now()).total_seconds()
        if left > 0:
            return After(left)
        self._awaited.pop(spec.cluster, None)
        log.warning("cluster admitted that never came", extra={"cluster": spec.cluster, "set": self._set})
        await gone(self._client, MEMBERS, spec.cluster, self._set)
        return Done()

    async def _keep(self, request: JoinRequest, phase: str, of: Ticket | None) -> Done | After:
        if phase == JOINED:
            # Again, for a controller that died between the two.
            await gone(self._client, SECRETS, request.metadata.name, MEMBERS_NAMESPACE)
        asked = request.metadata.creation_timestamp or self._clock.now()
        # Who was denied could ask anew by a token that is still good.
        end = max(asked + KEPT, of.expires) if of is not None else asked + KEPT
        left = (end - self._clock.now()).total_seconds()
        if left > 0:
            return After(left)
        await gone(self._client, JOIN_REQUESTS, request.metadata.name, MEMBERS_NAMESPACE, uid=request.metadata.uid)
        return Done()

    async def _tell(self, request: JoinRequest, decision: Decision, given: Manifest | None = None) -> None:
        """Write the answer, unless somebody else wrote meanwhile: then the new state is looked at."""
        status: Manifest = {"phase": decision.phase, "reason": decision.reason}
        status |= given or {}
        seen = request.status
        if seen is not None and not given and (seen.phase, seen.reason) == (decision.phase, decision.reason):
            return
        patch = {"metadata": {"resourceVersion": request.metadata.resource_version}, "status": status}
        name = request.metadata.name
        await self._client.merge_patch(JOIN_REQUESTS, name, patch, namespace=MEMBERS_NAMESPACE, subresource="status")
        log.info("join request answered", extra={"request": name, "phase": decision.phase, "reason": decision.reason})

    async def _ticket(self, name: str) -> Ticket | None:
        try:
            return joining.ticket(await self._client.get(SECRETS, name, namespace=MEMBERS_NAMESPACE))
        except NotFound:
            return None

    async def _pin(self, name: str) -> Done:
        """Put on record, once, which cluster a member is that was put up by hand: an agent of another stops then."""
        member = self._feeds.members.store.get(name, self._set)
        if member is None or member.spec is None or member.spec.uid or member.status is None or not member.status.uid:
            return Done()
        uid = member.status.uid
        others = (each.spec for each in (await self._client.list(MEMBERS)).items)
        if any(spec is not None and spec.uid == uid for spec in others):
            log.warning("member says that it is another", extra={"member": name, "uid": uid})
            return Done()
        version = {"resourceVersion": member.metadata.resource_version}
        patch: Manifest = {"metadata": version, "spec": {"uid": uid}}
        with suppress(Conflict, NotFound):
            # What changed meanwhile is heard of.
            await self._client.merge_patch(MEMBERS, name, patch, namespace=self._set, options=_AS_HUB)
        return Done()

    async def _sweep(self) -> After:
        """End tokens whose time is over, and look for accounts of clusters that are members no more."""
        options = ListOptions(labels=f"{TOKEN_LABEL},{SET_LABEL}={self._set}")
        now = self._clock.now()
        for secret in (await self._client.list(SECRETS, namespace=MEMBERS_NAMESPACE, options=options)).items:
            metadata = secret["metadata"]
            if _is_ticket(metadata) and _has_ended(secret, now):
                await gone(self._client, SECRETS, metadata["name"], MEMBERS_NAMESPACE, uid=metadata["uid"])
        options = ListOptions(labels=f"{SET_LABEL}={self._set},{CLUSTER_LABEL}")
        found = (await self._client.list(SERVICE_ACCOUNTS, namespace=MEMBERS_NAMESPACE, options=options)).items
        for member in {account["metadata"]["labels"][CLUSTER_LABEL] for account in found if not _is_token(account)}:
            if self._feeds.members.store.get(member, self._set) is None:
                await self._let_go(member)
        return After(_SWEEP)

    async def _let_go(self, member: str) -> Done | After:
        """Take the access of a cluster that is no member: once it has taken everything back, or had time to."""
        if any(item.metadata.name == member for item in (await self._client.list(MEMBERS)).items):
            self._left_at.pop(member, None)
            return Done()
        now = self._clock.monotonic()
        since = self._left_at.setdefault(member, now)
        if now - since < FAREWELL and not await has_left(self._client, member):
            return After(_LOOK)
        self._left_at.pop(member, None)
        options = ListOptions(labels=f"{CLUSTER_LABEL}={member},{SET_LABEL}!={self._set}")
        if (await self._client.list(SERVICE_ACCOUNTS, namespace=MEMBERS_NAMESPACE, options=options)).items:
            # Another set is about to let in a cluster of that name.
            await drop_exports(self._client, member, self._set)
            return Done()
        await take(self._client, member, self._set, self._rights.of_member(self._set, member))
        log.info("access and exports taken from a cluster that left", extra={"cluster": member, "set": self._set})
        return Done()


async def has_left(client: Client, member: str) -> bool:
    """Whether the agent has said that everything is taken back."""
    try:
        lease = await client.get(LEASES, member, namespace=MEMBERS_NAMESPACE)
    except NotFound:
        return False
    return lease.spec.holder_identity == HAS_LEFT


def _is_ticket(metadata: Manifest) -> bool:
    return bool(metadata["name"] == JOIN_PREFIX + metadata["labels"][TOKEN_LABEL])


def _is_token(account: Manifest) -> bool:
    return TOKEN_LABEL in account["metadata"]["labels"]


def _has_ended(secret: Manifest, now: datetime) -> bool:
    try:
        return joining.ticket(secret).expires <= now
    except Invalid:
        log.warning("a token without a moment at which it ends", extra={"secret": secret["metadata"]["name"]})
        return True


def _key(name: str) -> Request:
    return Request("hub", MEMBERS_NAMESPACE, name)


def joins(
    client: Client,
    cluster_set: str,
    members: Informer[Member],
    leases: Informer[Lease],
    rights: Rights,
    *,
    clock: Clock,
) -> tuple[Controller, Informer[JoinRequest]]:
    """The controller of one set's requests, and the informer that has to run with it."""
    requests = Informer(client, JOIN_REQUESTS, namespace=MEMBERS_NAMESPACE, clock=clock)
    serving = Joining(client, cluster_set, Feeds(requests, members, leases), rights, clock=clock)
    # One worker: of two requests for one name, the second sees what became of the first.
    controller = Controller("joining", serving.reconcile, workers=1, clock=clock)
    serving.watch(controller)
    return controller, requests
