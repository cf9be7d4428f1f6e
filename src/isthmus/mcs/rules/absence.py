"""When something that is not there is gone: nothing is deleted on an absence alone.

Design, part 3, rule 3. All times are seconds of one process's monotonic clock.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from isthmus.api.isthmus import Exports, Member, NamespaceExports
from isthmus.mcs.rules.names import ExportKey, ImportKey

# A Member has left when complete lists this far apart lack it.
LEFT_AFTER = 10.0
# So many imports at once, and more than this share of all, wait for a list this much later.
BRAKE_IMPORTS = 10
BRAKE_SHARE = 1 / 3
BRAKE_SECONDS = 5.0
# Who watches a hub has noticed within this time that it has gone back.
ONE_RESTORE = 30.0


def exports_of(exports: Mapping[ExportKey, str]) -> dict[str, NamespaceExports]:
    """What one cluster exports, per namespace: how many, and a digest over names and ServiceExport UIDs."""
    names: dict[str, list[str]] = {}
    for key, uid in sorted(exports.items()):
        names.setdefault(key.namespace, []).append(f"{key.name}\0{uid}\n")
    return {
        namespace: NamespaceExports(count=len(lines), digest=hashlib.sha256("".join(lines).encode()).hexdigest()[:32])
        for namespace, lines in names.items()
    }


def next_exports(seen: Exports, namespaces: dict[str, NamespaceExports], *, anew: bool, floor: int = 0) -> Exports:
    """What the agent puts into its Member's status; the epoch rises with every change, and when it publishes anew.

    `floor` is the lowest epoch to use: the agent's highest so far, or its wall clock in seconds. It matters when the
    hub was restored from a backup: `seen` is then older than what other agents know.
    """
    if not anew and seen.namespaces == namespaces and seen.epoch >= floor:
        return seen
    return Exports(epoch=max(seen.epoch + 1, floor), namespaces=namespaces)


@dataclass(frozen=True)
class Roster:
    """The members as an agent may act on them: those it knows, until they are known to have left.

    `lacking` says since when complete lists lack a known member; `first` and `last` are the complete lists' times.
    A list without anybody is no list: somebody emptied the hub, or the agent may not read it.
    """

    known: Mapping[str, Member] = field(default_factory=dict)
    lacking: Mapping[str, float] = field(default_factory=dict)
    first: float | None = None
    last: float | None = None

    def listed(self, members: Iterable[Member], now: float) -> "Roster":
        """After a complete list."""
        present = {member.metadata.name: member for member in members}
        if not present:
            return self
        missing = {id_: self.lacking.get(id_, now) for id_ in self.known if id_ not in present}
        lacking = {id_: since for id_, since in missing.items() if now - since < LEFT_AFTER}
        kept = {id_: self.known[id_] for id_ in lacking}
        return Roster({**kept, **present}, lacking, now if self.first is None else self.first, now)

    def changed(self, member: Member, now: float) -> "Roster":  # noqa: ARG002  # the same shape as its siblings
        """After a member was seen, new or changed."""
        id_ = member.metadata.name
        lacking = {other: since for other, since in self.lacking.items() if other != id_}
        return replace(self, known={**self.known, id_: member}, lacking=lacking)

    def deleted(self, id_: str, now: float) -> "Roster":
        """After a deletion was seen: it counts as the first list without the member."""
        if id_ not in self.known:
            return self
        return replace(self, lacking={**self.lacking, id_: self.lacking.get(id_, now)})

    def has_left(self, id_: str) -> bool:
        """Two complete lists lacked the member while others were there."""
        if id_ in self.known or self.first is None or self.last is None:
            return False
        return self.last - self.first >= LEFT_AFTER

    @property
    def list_at(self) -> float | None:
        """When another complete list would settle something."""
        waiting = list(self.lacking.values())
        # A member that an import names, and that was gone before this process began, is known to nobody here.
        if self.first is not None and self.last is not None and self.last - self.first < LEFT_AFTER:
            waiting.append(self.first)
        return min(waiting) + LEFT_AFTER if waiting else None


@dataclass(frozen=True)
class Facts:
    """What an agent sees.

    `imports`: of each ServiceImport of ours, the clusters its status names; `exports`: the ServiceExports' UIDs of
    the ExportedServices in the hub's store; `deleted`: those whose deletion was seen, by whomever it was.
    """

    imports: Mapping[ImportKey, frozenset[str]]
    exports: Mapping[ExportKey, str]
    deleted: frozenset[ExportKey] = frozenset()
    roster: Roster = Roster()


@dataclass(frozen=True)
class Memory:
    """What the next judgement must know of the last: the highest epoch of each Member object, and the brake.

    `before` are the epochs as they were when the connection broke through which `after`, or later, others came.
    """

    epochs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    before: Mapping[tuple[str, str], int] = field(default_factory=dict)
    after: float = -ONE_RESTORE
    braked: frozenset[ImportKey] = frozenset()
    braked_at: float = 0.0

    def heard(self, roster: Roster) -> "Memory":
        """After every look at the members: what a hub said once, it must not unsay by going back in time."""
        return replace(self, epochs=_epochs(roster, self.epochs))

    def reconnected(self, now: float) -> "Memory":
        """Before the first news through a new connection: the hub behind it may be an older one."""
        return self if now - self.after < ONE_RESTORE else replace(self, before=self.epochs, after=now)

    def doubting(self, roster: Roster, now: float) -> "Memory":
        """After the hub turned out to have gone back: only what exporters have said since, with a higher epoch, counts.

        They may have done so before it was noticed here: since is since the connection broke.
        """
        highest = _epochs(roster, self.epochs)
        is_recent = now - self.after < ONE_RESTORE
        wanted = {owner: 1 + (self.before.get(owner, 0) if is_recent else epoch) for owner, epoch in highest.items()}
        return replace(self, epochs={owner: max(epoch, wanted[owner]) for owner, epoch in highest.items()})


@dataclass(frozen=True)
class Verdict:
    """Which absent exports are gone, and which are held, and why; `list_at`: when a fresh list is wanted."""

    gone: frozenset[ExportKey]
    held: Mapping[ExportKey, str]
    list_at: float | None = None


def judge(facts: Facts, memory: Memory, *, now: float, listed_at: float) -> tuple[Verdict, Memory]:
    """Every export that an import names and the hub no longer has: is it gone?

    `listed_at` is when the last complete list of ExportedServices was in. A deletion that was seen is as little proof
    as an absence, since somebody may have emptied the hub; only, it needs no second look.
    """
    epochs = _epochs(facts.roster, memory.epochs)
    absent = {
        ExportKey(cluster, *service)
        for service, clusters in facts.imports.items()
        for cluster in clusters
        if ExportKey(cluster, *service) not in facts.exports
    }
    seen = _seen(facts.exports, {key.cluster for key in absent})
    doubts = {
        key: ""
        if key in facts.deleted and _is_mute(key, facts.roster)
        else _doubt(key, facts.roster, epochs, seen.get(key.cluster, {}))
        for key in absent
    }
    agreed = {key for key, doubt in doubts.items() if not doubt}
    held = {key: doubt for key, doubt in doubts.items() if doubt}
    braked, braked_at = _brake(facts, memory, agreed, now)
    list_at = None
    if braked and listed_at < braked_at + BRAKE_SECONDS:
        list_at = braked_at + BRAKE_SECONDS
        waits = f"{len(braked)} of {len(facts.imports)} imports would go at once: waiting for a fresh list"
        stopped = {key for key in agreed - facts.deleted if key.service in braked}
        agreed -= stopped
        held.update(dict.fromkeys(stopped, waits))
    return Verdict(frozenset(agreed), held, list_at), replace(memory, epochs=epochs, braked=braked, braked_at=braked_at)


def doubt(key: ExportKey, namespace: Mapping[ExportKey, str], roster: Roster, memory: Memory) -> str:
    """Why an export whose deletion was seen may still be there, or nothing.

    `namespace` are the exports of that cluster and namespace that the hub's store holds.
    """
    if _is_mute(key, roster):
        return ""
    return _doubt(key, roster, _epochs(roster, memory.epochs), exports_of(namespace))


def _is_mute(key: ExportKey, roster: Roster) -> bool:
    """Its exporter has never said what it exports, so that nobody contradicts a deletion."""
    member = roster.known.get(key.cluster)
    return member is not None and (member.status is None or not member.status.exports.epoch)


def _epochs(roster: Roster, before: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """The highest epochs; by the Member's UID, since a cluster that joins again begins anew."""
    highest: dict[tuple[str, str], int] = {}
    for id_, member in roster.known.items():
        owner = (id_, member.metadata.uid)
        epoch = member.status.exports.epoch if member.status else 0
        highest[owner] = max(epoch, before.get(owner, 0))
    return highest


def _seen(exports: Mapping[ExportKey, str], clusters: set[str]) -> dict[str, dict[str, NamespaceExports]]:
    """What the hub's store holds of each of these clusters."""
    by_cluster: dict[str, dict[ExportKey, str]] = {}
    for key, uid in exports.items():
        if key.cluster in clusters:
            by_cluster.setdefault(key.cluster, {})[key] = uid
    return {cluster: exports_of(theirs) for cluster, theirs in by_cluster.items()}


def _doubt(
    key: ExportKey,
    roster: Roster,
    epochs: Mapping[tuple[str, str], int],
    seen: Mapping[str, NamespaceExports],
) -> str:
    """Why the absent export may still be there, or nothing."""
    member = roster.known.get(key.cluster)
    if member is None:
        if roster.has_left(key.cluster):
            return ""
        return f"{key.cluster} is not among the members: waiting for a second list"
    if member.status is None:
        return f"{key.cluster} has not said what it exports"
    said = member.status.exports
    if said.epoch < epochs[key.cluster, member.metadata.uid]:
        return f"the hub holds an older record of {key.cluster} than was seen before: waiting for its agent"
    if said.namespaces.get(key.namespace) != seen.get(key.namespace):
        return f"{key.cluster} says that it exports more in {key.namespace} than the hub shows"
    return ""


def _brake(facts: Facts, memory: Memory, agreed: set[ExportKey], now: float) -> tuple[frozenset[ImportKey], float]:
    """The imports that would go for absences, if they are too many at once, and since when they are."""
    going = frozenset(
        key.service
        for key in agreed - facts.deleted
        if all(ExportKey(cluster, *key.service) in agreed for cluster in facts.imports[key.service])
    )
    if len(going) <= BRAKE_IMPORTS or len(going) <= BRAKE_SHARE * len(facts.imports):
        return frozenset(), 0.0
    if going <= memory.braked:
        return going, memory.braked_at
    return going, now
