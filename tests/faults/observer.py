"""Watches all clusters of a set all the time, and says what must not be."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isthmus.api.isthmus import SILENT
from isthmus.api.mcs import SERVICE_NAME_LABEL, SOURCE_CLUSTER_LABEL
from isthmus.api.scheme import Manifest
from tests.faults.disturbances import HUB, VERDICTS, Disturbances, road
from tests.faults.ledger import Ledger

# Seconds. Nothing may be wrong for longer once everything that it depends on is whole (issue: 10 s of healing).
BOUND = 10.0
# What is local needs nobody else, and an agent that runs: one that was killed has BOUND to start and read.
LOCAL_BOUND = 5.0
# Graces of silence. A verdict comes within 45 s of the last sign of life, where 30 s are the grace.
LATEST = 1.5
# So many members: when all are silent, the hub may hold its verdicts back.
BRAKED = 3
# By member, service, and what is meant of it.
Wrong = tuple[str, str, str]
Seen = Manifest | None


@dataclass(frozen=True)
class Verdict:
    """A verdict as it became visible, on the monotonic clock."""

    at: float
    member: str
    silent: bool
    # Seconds since the hub's API server showed the last sign of life; infinite where it never did.
    after: float


@dataclass
class Sight:
    """What one member shows: objects by name, kept true by watchers."""

    imports: dict[str, Manifest]
    exports: dict[str, Manifest]
    services: dict[str, Manifest]
    slices: dict[str, Manifest]

    def addresses(self, service: str) -> dict[str, frozenset[str]]:
        """The imported endpoints of a service, by source cluster."""
        found: dict[str, set[str]] = {}
        for item in self.slices.values():
            labels = item["metadata"]["labels"]
            if labels[SERVICE_NAME_LABEL] == service:
                at = found.setdefault(labels.get(SOURCE_CLUSTER_LABEL, ""), set())
                at.update(address for each in item["endpoints"] or () for address in each["addresses"])
        return {source: frozenset(at) for source, at in found.items() if at}


class Observer:
    """Compares what clusters show with what is true by hand; `violations` are sentences, in order of time."""

    def __init__(self, ledger: Ledger, disturbances: Disturbances, *, silent_after: float) -> None:
        self.sights: dict[str, Sight] = {}
        self.violations: list[str] = []
        self.verdicts: list[Verdict] = []
        self.silent: set[str] = set()
        self._members: set[str] = set()
        self._ledger = ledger
        self._disturbances = disturbances
        self._silent_after = silent_after
        self._ips: dict[tuple[str, str], tuple[str, ...]] = {}
        self._wrong: dict[Wrong, float] = {}
        self._signs: dict[str, float] = {}

    # What happens.

    def import_changed(self, member: str, name: str, before: Seen, after: Seen) -> None:
        """A ServiceImport came, changed or went."""
        if after is None:
            self._ips.pop((member, name), None)
            if self._is_exported(name):
                self.say(f"import lost: {name} in {member}")
            return
        ips = tuple(after["spec"].get("ips") or ())
        known = self._ips.setdefault((member, name), ips) or ips
        if ips[: len(known)] != known:
            self.say(f"clusterset IPs changed: {name} in {member} from {known} to {ips}")
        self._ips[member, name] = ips or known

    def service_changed(self, member: str, name: str, before: Seen, after: Seen) -> None:
        """A derived Service came, changed or went."""
        if before is None:
            return
        service = before["metadata"]["labels"][SERVICE_NAME_LABEL]
        if after is None and self._is_exported(service):
            self.say(f"derived Service lost: {name} of {service} in {member}")
        if after is not None and after["spec"].get("clusterIPs") != before["spec"].get("clusterIPs"):
            self.say(f"derived Service's addresses changed: {name} in {member}")

    def member_changed(self, name: str, before: Seen, after: Seen) -> None:
        """A Member came, changed or went; its verdict may have."""
        if after is None:
            self._members.discard(name)
            self.silent.discard(name)
            return
        self._members.add(name)
        silent = after["spec"].get("health", {}).get("state") == SILENT
        if silent == (name in self.silent):
            return
        now = time.monotonic()
        self.verdicts.append(Verdict(now, name, silent, now - self._signs.get(name, -math.inf)))
        if not silent:
            self.silent.discard(name)
            return
        self.silent.add(name)
        if now - self._disturbances.whole_since((name, road(name))) > self._silent_after:
            self.say(f"judged silent though its heartbeat had nothing in its way: {name}")

    def lease_changed(self, name: str, before: Seen, after: Seen) -> None:
        """A Lease came, changed or went: by renewing its own a member gives a sign of life."""
        if after is not None:
            self._signs[name] = time.monotonic()

    def say(self, what: str) -> None:
        """Note what must not be."""
        self.violations.append(f"{time.strftime('%H:%M:%S')} {what}")

    # What is.

    def ip(self, member: str, service: str) -> str:
        """The clusterset IP of an import; empty if there is none."""
        return next(iter(self._ips.get((member, service), ())), "")

    def look(self) -> None:
        """Compare everything now; what is wrong for too long is a violation, once."""
        now = time.monotonic()
        found = dict(self._found())
        self._wrong = {wrong: self._wrong.get(wrong, now) for wrong in found}
        for wrong, parts in found.items():
            since, healed = self._wrong[wrong], self._disturbances.whole_since(parts)
            bound = LOCAL_BOUND if len(parts) == 1 else BOUND
            if now > max(since + bound, healed + BOUND):
                self.say(f"wrong for {now - max(since, healed):.0f} s: {' '.join(wrong)}: {self.shown(wrong)}")
                self._wrong[wrong] = now
        self._judge_the_judge(now)

    def wrong_since_before(self, moment: float) -> list[Wrong]:
        """What is wrong now and was so already at that moment."""
        return sorted(wrong for wrong, since in self._wrong.items() if since <= moment)

    def shown(self, wrong: Wrong) -> str:
        """What is seen of it, beside what is true."""
        member, service, what = wrong
        if member not in self.sights:
            return ""
        if what.endswith("not ready"):
            sight = self.sights[member]
            item = (sight.exports if what.startswith("export") else sight.imports).get(service, {})
            conditions: Iterable[Manifest] = item.get("status", {}).get("conditions") or ()
            return "; ".join(f"{each['type']} {each['status']}: {each['message']}" for each in conditions)
        true = {source: sorted(at) for source, at in self._ledger.exporters(service).items()}
        seen = {source: sorted(at) for source, at in self.sights[member].addresses(service).items()}
        return f"true {true}, seen {seen}, silent {sorted(self.silent)}"

    def _judge_the_judge(self, now: float) -> None:
        """Who is silent for so long is judged, by a hub that was there to hear it."""
        if len(self._members) >= BRAKED:
            return
        for member in self._members - self.silent:
            quiet = now - max(self._signs.get(member, now), self._disturbances.whole_since((HUB, VERDICTS)))
            if quiet > LATEST * self._silent_after:
                self.say(f"silent for {quiet:.0f} s and not judged: {member}")
                self._signs.pop(member)

    def _is_exported(self, service: str) -> bool:
        return self._ledger.is_settled(service) and bool(self._ledger.exporters(service))

    def _found(self) -> Iterator[tuple[Wrong, tuple[str, ...]]]:
        """What is wrong now, and the parts that have to be whole for it to become right."""
        for member in self._members & self.sights.keys():
            if member in self.silent:
                yield (member, "", "silent"), (member, road(member), HUB, VERDICTS)
        for member, sight in self.sights.items():
            services = self._ledger.services | sight.imports.keys()
            for service in filter(self._ledger.is_settled, services):
                yield from self._of_import(member, sight, service)
            for service, export in sight.exports.items():
                if (member, service) in self._ledger.offers and not _is_true(export, "Valid", "Ready"):
                    yield (member, service, "export not ready"), (member, road(member), HUB)

    def _of_import(self, member: str, sight: Sight, service: str) -> Iterator[tuple[Wrong, tuple[str, ...]]]:
        exporters = self._ledger.exporters(service)
        seen = sight.addresses(service)
        parts = (member, road(member), HUB)
        item = sight.imports.get(service)
        if not exporters:
            if item is not None or seen:
                # It was exported by anybody.
                yield (member, service, "one too many"), self._all_parts()
            return
        of_all = (*parts, *(part for exporter in exporters for part in (exporter, road(exporter))))
        if item is None or not _is_true(item, "Ready"):
            yield (member, service, "import not ready"), of_all
        for source in exporters.keys() | seen.keys():
            wanted = exporters.get(source, frozenset())
            if source in self.silent and source != member:
                wanted = frozenset()
            if seen.get(source, frozenset()) != wanted:
                if source == member and item is not None:
                    # What is local goes on without the hub.
                    yield (member, service, "own endpoints"), (member,)
                else:
                    yield (member, service, f"endpoints from {source}"), of_all

    def _all_parts(self) -> tuple[str, ...]:
        return (HUB, *(part for member in self.sights for part in (member, road(member))))


def _is_true(item: Manifest, *conditions: str) -> bool:
    have: Iterable[Manifest] = item.get("status", {}).get("conditions") or ()
    true = {each["type"] for each in have if each["status"] == "True"}
    return true >= set(conditions)
