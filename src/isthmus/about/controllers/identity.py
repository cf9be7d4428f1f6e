"""Mirrors what the hub says of this cluster into its two well-known ClusterProperties (KEP-2149)."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from isthmus.about.rules.identity import Mirror, mirror
from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET, ClusterProperty
from isthmus.api.isthmus import Member
from isthmus.api.scheme import Resource
from isthmus.errors import NotFound
from isthmus.kube.informer import Informer
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.runtime.source import Source, each

log = logging.getLogger(__name__)

# Seconds between two looks whether the cluster still knows ClusterProperty: where it does not, no event tells.
_LOOK = 2.0


@dataclass(frozen=True)
class Registration:
    """Who this cluster is said to be: its id, its set, where its Member is, and the UID of kube-system.

    `kind` is ClusterProperty in the version that the cluster serves (ABOUT-7).
    """

    cluster: str
    cluster_set: str
    namespace: str
    uid: str
    kind: Resource[ClusterProperty] = CLUSTER_PROPERTIES


class Identity:
    """Keeps `cluster.clusterset.k8s.io` and `clusterset.k8s.io` as the Member has it, or refuses and says why.

    `established` is set once both stand: only then may this cluster act under its id. `has_left` tells
    whether the Member is gone for good, not merely missing; then `left` is set, and `withdraw` is for whoever has
    cleared up what the membership brought.
    """

    def __init__(
        self,
        registration: Registration,
        properties: Informer[ClusterProperty],
        members: Informer[Member],
        writer: Converger,
        *,
        has_left: Callable[[], bool],
    ) -> None:
        self._kind = registration.kind
        self._registration = registration
        self._properties = properties
        self._members = members
        self._writer = writer
        self._has_left = has_left
        self.established = asyncio.Event()
        self.left = asyncio.Event()
        self.problem = ""
        writer.follow(self._kind, properties)

    def request(self) -> Request:
        """The one key of this controller."""
        return Request(self._registration.cluster, "", "identity")

    def watch(self, controller: Controller) -> None:
        """The two properties, and the Member that they mirror."""
        controller.watch(Source(self._properties, each(lambda _: [self.request()])))
        controller.watch(Source(self._members, each(lambda _: [self.request()]), required=False))
        # A Member that is not there may by now have left for good.
        self._members.when_listed(lambda: controller.add(self.request()))
        controller.add(self.request())

    async def reconcile(self, _: Request) -> Done | After:
        """Make the properties say what the Member says."""
        if not self._members.synced:
            self._go_on_as_before()
            return Done()
        member = self._members.store.get(self._registration.cluster, self._registration.namespace)
        if member is None:
            self._report(f"no Member {self._registration.cluster} in {self._registration.namespace} on the hub")
            if self._has_left() and CLUSTER_SET in self._seen():
                self.left.set()
            return Done()
        values = {name: item.spec.value for name, item in self._seen().items() if item.spec is not None}
        wanted = mirror(
            member,
            values,
            uid=self._registration.uid,
            others=self._members.store.all(),
            was_member=self.established.is_set(),
        )
        try:
            await self._write(wanted)
        except NotFound:
            self._report(self._undefined())
            return After(_LOOK)
        self._report(wanted.problem or (self._undefined() if self._properties.is_unknown else ""))
        if not wanted.problem:
            self.established.set()
        return After(_LOOK)

    def _undefined(self) -> str:
        plural = f"{self._kind.plural}.{self._kind.group}"
        return f"the cluster does not know ClusterProperty any more: install the CRD {plural} again"

    async def withdraw(self) -> None:
        """Say no longer that the cluster is in a set; its id stays (ABOUT-20, ABOUT-22)."""
        await self._write(mirror(None, {CLUSTER_SET: ""}, uid=self._registration.uid))

    async def _write(self, wanted: Mirror) -> None:
        seen = self._seen()
        await self._writer.converge(self._kind, [], [seen[name] for name in wanted.unwanted if name in seen])
        # One after the other: the set may only be named once the id stands (ABOUT-29).
        for item in wanted.wanted:
            name = item.metadata.name
            await self._writer.converge(self._kind, [item], [seen[name]] if name in seen else [])

    def _seen(self) -> dict[str, ClusterProperty]:
        found = {}
        for name in (CLUSTER_ID, CLUSTER_SET):
            item = self._writer.current(self._kind, self._properties.store.get(name), name=name)
            if item is not None:
                found[name] = item
        return found

    def _go_on_as_before(self) -> None:
        # The hub cannot be asked, but it was: what stands here was its word.
        known = {name: item.spec.value for name, item in self._seen().items() if item.spec is not None}
        if known == {
            CLUSTER_ID: self._registration.cluster,
            CLUSTER_SET: self._registration.cluster_set,
        }:
            self.established.set()

    def _report(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error(
                "cannot act for this cluster",
                extra={"cluster": self._registration.cluster, "problem": problem},
            )
        self.problem = problem
