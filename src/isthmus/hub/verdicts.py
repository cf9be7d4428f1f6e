"""Writes the hub's verdicts on its members: Healthy or Silent, transitions only; and says when it holds them back."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from isthmus.api.core import LEASES, Lease, ObjectReference
from isthmus.api.isthmus import (
    HEALTHY,
    HELD_UNTIL_ANNOTATION,
    HUB_LEASE_PREFIX,
    MEMBERS,
    SYSTEM_NAMESPACE,
    Health,
    Member,
)
from isthmus.api.scheme import Manifest
from isthmus.errors import IsthmusError
from isthmus.inventory.rules.health import Grace, Transition, Vigil, judge
from isthmus.kit.clock import Clock
from isthmus.kube.client import Client
from isthmus.kube.events import Recorder
from isthmus.kube.informer import Change, Informer
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import After, Request
from isthmus.runtime.source import Source, each
from isthmus.runtime.together import together

log = logging.getLogger(__name__)

# A manager of its own: who applies a Member's spec must not thereby take its health away, nor the reverse.
MANAGER = "isthmus-hub-health"
# Seconds past the moment at which a grace ends: at it, nobody is late yet.
_PAST = 0.05
# Seconds between two looks whether the hub hears again.
_LOOK = 0.5


# Tells people until when verdicts are held back, and why.
Tell = Callable[[datetime, str], Awaitable[None]]


def teller(client: Client, cluster_set: str, *, clock: Clock) -> Tell:
    """By the Lease of the set's election, where `isthmus clusters` finds it, and by an Event about the set."""
    recorder = Recorder(client, "isthmus-hub", clock)
    about = ObjectReference(api_version="v1", kind="Namespace", namespace=cluster_set, name=cluster_set)

    async def tell(until: datetime, why: str) -> None:
        patch = {"metadata": {"annotations": {HELD_UNTIL_ANNOTATION: until.strftime("%Y-%m-%dT%H:%M:%SZ")}}}
        try:
            await client.merge_patch(LEASES, f"{HUB_LEASE_PREFIX}{cluster_set}", patch, namespace=SYSTEM_NAMESPACE)
        except IsthmusError as problem:
            log.warning("not told that verdicts are held back", extra={"problem": str(problem)})
        await recorder.emit(about, type="Warning", reason="VerdictsHeld", message=why)

    return tell


class Verdicts:
    """Judges the members of one set by their Leases, with the rules' graces and brake; `tell` is for the brake."""

    def __init__(
        self,
        leases: Informer[Lease],
        members: Informer[Member],
        writer: Converger,
        tell: Tell,
        *,
        grace: Grace,
        clock: Clock,
    ) -> None:
        self._leases = leases
        self._members = members
        self._writer = writer
        self._tell = tell
        self._grace = grace
        self._clock = clock
        self._vigil = Vigil.begin(clock.monotonic())
        self._was_away = False
        # Why verdicts are held back now, if they are.
        self.held = ""
        writer.follow(MEMBERS, members)
        leases.subscribe(self._heard)

    def watch(self, controller: Controller) -> None:
        """Members that come, go or change; Leases are only noted, since a heartbeat in time changes nothing."""
        controller.watch(Source(self._members, each(lambda _: [self.request()])))
        controller.watch(Source(self._leases, lambda _: ()))
        controller.add(self.request())

    def request(self) -> Request:
        """The one key of this controller."""
        return Request("hub", "", "verdicts")

    async def reconcile(self, _: Request) -> After:
        """Judge all, write what changed, and say when to judge again."""
        now = self._clock.monotonic()
        if self._is_cut_off(now):
            return After(_LOOK)
        members = {member.metadata.name: member for member in self._current()}
        states = {id_: _state(member) for id_, member in members.items()}
        judgement = judge(self._vigil, states, now, self._grace)
        self._vigil = judgement.vigil
        await self._say_held(judgement.held)
        await together(*(self._write(each, members[each.cluster]) for each in judgement.transitions))
        return After(max(judgement.judge_at - now, 0) + _PAST)

    def _heard(self, change: Change[Lease]) -> None:
        lease = change.after
        if lease is None:
            return
        mark = f"{lease.spec.holder_identity} {lease.spec.renew_time}"
        self._vigil = self._vigil.heard(lease.metadata.name, mark, self._clock.monotonic())

    def _is_cut_off(self, now: float) -> bool:
        """Whether the hub itself does not hear: then nobody is judged, and everyone has a full grace after."""
        since = self._leases.failing_since
        if since is not None:
            self._was_away = self._was_away or now - since > self._grace.silent_after / 3
            return True
        if self._was_away:
            self._was_away = False
            self._vigil = self._vigil.resumed(now)
            log.info("hub heard again, everyone has a full grace")
        return False

    def _current(self) -> list[Member]:
        found = []
        for member in self._members.store.all():
            name, namespace = member.metadata.name, member.metadata.namespace
            current = self._writer.current(MEMBERS, member, name=name, namespace=namespace)
            if current is not None and current.spec is not None:
                found.append(current)
        return found

    async def _write(self, transition: Transition, member: Member) -> None:
        known = member.spec.health if member.spec is not None else Health()
        now = self._clock.now()
        # Only the reason may be news: then the state is as old as it was.
        since = known.since if known.state == transition.state and known.since is not None else now
        health = {
            "state": transition.state,
            "since": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "reason": transition.told(now),
        }
        wanted: Manifest = {
            "metadata": {"name": member.metadata.name, "namespace": member.metadata.namespace},
            "spec": {"health": health},
        }
        await self._writer.converge(MEMBERS, [wanted], [member])
        level = logging.INFO if transition.state == HEALTHY else logging.WARNING
        log.log(level, "member judged", extra={"member": transition.cluster} | health)

    async def _say_held(self, held: str) -> None:
        # The text counts seconds down: said when it begins, not each time.
        begins = bool(held) and not self.held
        self.held = held
        if begins:
            log.warning("verdicts held back", extra={"reason": held})
            seconds = self._vigil.held_until - self._clock.monotonic()
            await self._tell(self._clock.now() + timedelta(seconds=seconds), held)


def _state(member: Member) -> str:
    return member.spec.health.state if member.spec is not None else HEALTHY
