"""Whether an export that is not there is gone, and which imports wait for an answer (design part 3, rule 3)."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from isthmus.api.isthmus import ExportedService, Member
from isthmus.api.mcs import ServiceImport
from isthmus.kit.clock import Clock
from isthmus.kit.metrics import GAUGE, Metric, Sample, metered
from isthmus.kube.informer import Change
from isthmus.mcs.controllers.views import Views, is_genuine
from isthmus.mcs.rules.absence import ONE_RESTORE, Facts, Memory, Roster, Verdict, doubt, judge
from isthmus.mcs.rules.allowance import is_believed
from isthmus.mcs.rules.names import ExportKey, ImportKey
from isthmus.mcs.rules.versions import common
from isthmus.runtime.reconcile import After, Done, Request

log = logging.getLogger(__name__)

# Seconds between two looks whether a list that was asked for has come.
_LOOK = 1.0
# Deletions of exports that no import here names pile up to this; forgotten ones fall back on agreement.
_REMEMBERED = 10_000
HELD: Final = Metric(
    "isthmus_imports_held",
    GAUGE,
    "ServiceImports that keep an exporter of whom an export is missing, though not for sure.",
)


class Absences:
    """Keeps what the rules need to know of the past, and asks for fresh lists when they want one.

    `again` has an import reconciled again, `look` this controller itself.
    """

    def __init__(
        self, views: Views, *, clock: Clock, again: Callable[[Request], None], look: Callable[[], None]
    ) -> None:
        member, hub = views.member, views.hub
        self._member = member
        self._hub = hub
        self._clock = clock
        self._again = again
        self._look = look
        self._imports: dict[ImportKey, frozenset[str]] = {}
        # How many of them name a cluster.
        self._named: Counter[str] = Counter()
        self._exports: dict[ExportKey, str] = {}
        self._by_namespace: dict[tuple[str, str], dict[ExportKey, str]] = {}
        self._deleted: dict[ImportKey, set[str]] = {}
        self._held: dict[ImportKey, frozenset[str]] = {}
        self._reasons: Counter[str] = Counter()
        self._memory = Memory()
        self._list_at: float | None = None
        self._forgot_at = -ONE_RESTORE
        self._connection = 0
        self.roster = Roster()
        self.rules = common(())
        self._when_rules_change: list[Callable[[], None]] = []
        self._when_forgot: list[Callable[[], None]] = []
        member.imports.subscribe(self._import_changed)
        hub.exports.subscribe(self._export_changed)
        hub.exports.when_listed(self._ask_held)
        hub.exports.when_gone_back(self._hub_forgot)
        hub.members.when_gone_back(self._hub_forgot)
        hub.members.subscribe(self._member_changed)
        hub.members.when_listed(self._members_listed)
        metered(self)

    def samples(self) -> Iterator[Sample]:
        """How much waits for an answer."""
        yield Sample(HELD, len(self._held))

    def when_rules_change(self, handler: Callable[[], None]) -> None:
        """Have `handler` called when all are to merge by another version of the rules."""
        self._when_rules_change.append(handler)

    def when_forgot(self, handler: Callable[[], None]) -> None:
        """Have `handler` called when the hub turns out to have gone back in time."""
        self._when_forgot.append(handler)

    def request(self) -> Request:
        """The one key of this controller."""
        return self._member.request("", "absences")

    def held(self, key: ImportKey, present: frozenset[str]) -> Mapping[str, str]:
        """The clusters that an import came from, that export it no longer, and that are not known to be gone.

        With each, why. `present` are those whose export is on the hub.
        """
        missing = frozenset(filter(self._is_believed, self._imports.get(key, frozenset()) - present))
        deleted = missing & self._deleted.get(key, set())
        held = {cluster: why for cluster in deleted if (why := self._doubt(ExportKey(cluster, *key)))}
        # The rest is judged all together; a namespace that goes has thousands of deletions, which are not.
        if rest := missing - deleted:
            verdict = self._judge()
            held |= {
                export.cluster: why
                for export, why in verdict.held.items()
                if (export.namespace, export.name) == key and export.cluster in rest
            }
        self._note_held(key, frozenset(held.values()))
        return held

    def _note_held(self, key: ImportKey, reasons: frozenset[str]) -> None:
        before = self._held.pop(key, frozenset())
        if reasons:
            self._held[key] = reasons
        # Once for thousands of imports that wait for the same.
        for reason in reasons:
            if not self._reasons[reason]:
                log.debug("imports kept as they are", extra={"reason": reason, "first": f"{key.namespace}/{key.name}"})
        self._reasons.update(reasons)
        self._reasons.subtract(before)
        if before and not self._held:
            self._reasons.clear()
            log.debug("no import waits any more")

    async def reconcile(self, _: Request) -> Done | After:
        """Ask for the complete lists that the rules are waiting for."""
        now = self._clock.monotonic()
        due = [moment for moment in (self._list_at, self.roster.list_at) if moment is not None]
        if not due:
            return Done()
        if self._list_at is not None and self._list_at <= now:
            self._hub.exports.relist()
        if self.roster.list_at is not None and self.roster.list_at <= now:
            self._hub.members.relist()
        return After(max(min(due) - now, _LOOK))

    def _is_believed(self, cluster: str) -> bool:
        return is_believed(self.roster.known.get(cluster), self._named[cluster])

    def _doubt(self, export: ExportKey) -> str:
        """Why an export whose deletion was seen may still be there, by what its exporter says of itself."""
        namespace = self._by_namespace.get((export.cluster, export.namespace), {})
        return doubt(export, namespace, self.roster, self._memory)

    def _judge(self) -> Verdict:
        facts = Facts(
            imports=self._imports,
            exports=self._exports,
            deleted=frozenset(ExportKey(c, *key) for key, clusters in self._deleted.items() for c in clusters),
            roster=self.roster,
        )
        now, listed_at = self._clock.monotonic(), self._hub.exports.listed_at
        verdict, self._memory = judge(facts, self._memory, now=now, listed_at=listed_at)
        if verdict.list_at != self._list_at:
            self._list_at = verdict.list_at
            self._look()
        return verdict

    def _import_changed(self, change: Change[ServiceImport]) -> None:
        item = change.after or change.before
        if item is None:
            return
        key = ImportKey(item.metadata.namespace, item.metadata.name)
        self._named.subtract(self._imports.pop(key, ()))
        if change.after is not None and change.after.status is not None:
            self._imports[key] = frozenset(origin.cluster for origin in change.after.status.clusters)
            self._named.update(self._imports[key])
            if self._held and not all(map(self._is_believed, self._imports[key])):
                self._ask_held()
        # A deletion that was seen is of use only while an import still names its exporter.
        if key in self._deleted:
            self._deleted[key] &= self._imports.get(key, frozenset())
            if not self._deleted[key]:
                del self._deleted[key]

    def _export_changed(self, change: Change[ExportedService]) -> None:
        gone, here = _export_key(change.before), _export_key(change.after)
        if gone is not None:
            self._exports.pop(gone, None)
            self._by_namespace.get((gone.cluster, gone.namespace), {}).pop(gone, None)
            if here is None and change.seen:
                self._note_deletion(gone)
        if here is not None and change.after is not None and change.after.spec is not None:
            self._exports[here] = change.after.spec.uid
            self._by_namespace.setdefault((here.cluster, here.namespace), {})[here] = change.after.spec.uid
            self._deleted.get(here.service, set()).discard(here.cluster)

    def _note_deletion(self, export: ExportKey) -> None:
        if len(self._deleted) >= _REMEMBERED:
            self._deleted.clear()
        self._deleted.setdefault(export.service, set()).add(export.cluster)

    def _member_changed(self, change: Change[Member]) -> None:
        now = self._clock.monotonic()
        if change.after is not None:
            self._know(self.roster.changed(change.after, now))
        elif change.before is not None and change.seen:
            self._know(self.roster.deleted(change.before.metadata.name, now))

    def _members_listed(self) -> None:
        self._know(self.roster.listed(self._hub.members.store.all(), self._clock.monotonic()))

    def hub_forgot(self) -> None:
        """The hub has gone back in time, as its own last writes show who lost them."""
        self._hub_forgot()
        self._hub.relist()

    def _hub_forgot(self) -> None:
        """Its exports and its Members are old together, and so agree with each other."""
        now = self._clock.monotonic()
        if now - self._forgot_at >= ONE_RESTORE:
            self._forgot_at = now
            self._memory = self._memory.doubting(self.roster, now)
            for handler in self._when_forgot:
                handler()

    def _know(self, roster: Roster) -> None:
        self.roster = roster
        rules = common(roster.known.values())
        if rules != self.rules:
            log.info("rules of the set changed", extra={"version": rules, "before": self.rules, "own": common(())})
            self.rules = rules
            for handler in self._when_rules_change:
                handler()
        if self._hub.members.begun != self._connection:
            self._connection = self._hub.members.begun
            self._memory = self._memory.reconnected(self._clock.monotonic())
        self._memory = self._memory.heard(roster)
        self._ask_held()
        self._look()

    def _ask_held(self) -> None:
        for key in self._held:
            self._again(self._member.request(key.namespace, key.name))


def _export_key(export: ExportedService | None) -> ExportKey | None:
    if export is None or export.spec is None or not is_genuine(export):
        return None
    return ExportKey(export.spec.cluster, export.spec.namespace, export.spec.name)
