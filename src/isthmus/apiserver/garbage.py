"""Owners and what goes with them: background, foreground and orphaning deletion.

Kubernetes, "Garbage Collection": an object goes when it has owners and none of them exists.
"""

from collections import defaultdict

from isthmus.api.scheme import Manifest
from isthmus.apiserver import managedfields
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.deleting import BACKGROUND, FINALIZERS, FOREGROUND, ORPHAN, DeleteOptions, Deleting, finished
from isthmus.apiserver.housekeeping import Housekeeper
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.managedfields import Writer
from isthmus.apiserver.storage import DELETED, Change, Collection, Key, Record

COLLECTOR = "isthmus-apiserver"


class Garbage:
    """Knows who owns whom, and keeps house by it."""

    def __init__(self, cluster: Cluster, deleting: Deleting, housekeeper: Housekeeper) -> None:
        self._cluster = cluster
        self._deleting = deleting
        self._housekeeper = housekeeper
        self._places: dict[str, tuple[str, Key]] = {}
        self._dependents: defaultdict[str, set[tuple[str, Key]]] = defaultdict(set)

    def seen(self, collection: Collection, change: Change) -> None:
        """Keep in step with the objects."""
        place = (collection.name, change.record.key)
        for owner in change.before.owners if change.before else ():
            self._dependents[owner].discard(place)
            if not self._dependents[owner]:
                del self._dependents[owner]
        if change.type == DELETED:
            self._lost(change.record)
        else:
            self.known(collection.name, change.record)

    def known(self, collection: str, record: Record) -> None:
        """Take an object in."""
        place = (collection, record.key)
        self._places[record.uid] = place
        for owner in record.owners:
            self._dependents[owner].add(place)
        if record.owners or record.dying:
            self._housekeeper.soon(self._examine, *place)

    def _lost(self, record: Record) -> None:
        self._places.pop(record.uid, None)
        for place in self._dependents.get(record.uid, ()):
            self._housekeeper.soon(self._examine, *place)
        # An owner that is being deleted in the foreground waited for this.
        for owner in record.owners:
            if owner in self._places:
                self._housekeeper.soon(self._examine, *self._places[owner])

    def _examine(self, collection: str, key: Key) -> None:
        kind, record = self._cluster.kinds.keeping(collection), self._cluster.find(collection, key[1], key[0])
        if kind is None or record is None:
            return
        finalizers = record.manifest()["metadata"].get("finalizers") or [] if record.dying else []
        if FINALIZERS[ORPHAN] in finalizers:
            self._orphan(kind, record)
        elif FINALIZERS[FOREGROUND] in finalizers:
            self._delete_dependents(kind, record)
        if record.owners and not record.dying:
            self._check_owners(kind, record)

    def _dependents_of(self, record: Record) -> list[tuple[Kind, Record]]:
        found = []
        for collection, key in sorted(self._dependents.get(record.uid, ())):
            kind = self._cluster.kinds.keeping(collection)
            dependent = self._cluster.find(collection, key[1], key[0])
            if kind is not None and dependent is not None:
                found.append((kind, dependent))
        return found

    def _orphan(self, kind: Kind, record: Record) -> None:
        for dependent_kind, dependent in self._dependents_of(record):
            self._without_owners(dependent_kind, dependent, {record.uid})
        self._without_finalizer(kind, record, FINALIZERS[ORPHAN])

    def _delete_dependents(self, kind: Kind, record: Record) -> None:
        for dependent_kind, dependent in self._dependents_of(record):
            others = set(dependent.owners) - {record.uid}
            if not dependent.dying and not any(owner in self._places for owner in others):
                propagation = FOREGROUND if self._dependents.get(dependent.uid) else BACKGROUND
                options = DeleteOptions(uid=dependent.uid, propagation=propagation)
                self._deleting.delete(dependent_kind, dependent.key, options)
        if not any(_blocks(dependent, record.uid) for _, dependent in self._dependents_of(record)):
            self._without_finalizer(kind, record, FINALIZERS[FOREGROUND])

    def _check_owners(self, kind: Kind, record: Record) -> None:
        references = record.manifest()["metadata"]["ownerReferences"]
        # Owners of kinds that are not served here cannot be judged.
        if any(self._cluster.kinds.of_type(each["apiVersion"], each["kind"]) is None for each in references):
            return
        absent = {each["uid"] for each in references if not self._exists(each["uid"], record)}
        if len(absent) == len(set(record.owners)):
            self._deleting.delete(kind, record.key, DeleteOptions(uid=record.uid, propagation=BACKGROUND))
        elif absent:
            self._without_owners(kind, record, absent)

    def _exists(self, uid: str, dependent: Record) -> bool:
        place = self._places.get(uid)
        # An owner is in the same namespace, or in none.
        return place is not None and place[1][0] in {"", dependent.key[0]}

    def _without_owners(self, kind: Kind, record: Record, uids: set[str]) -> None:
        obj = record.manifest()
        kept = [each for each in obj["metadata"]["ownerReferences"] if each["uid"] not in uids]
        obj["metadata"]["ownerReferences"] = kept
        if not kept:
            del obj["metadata"]["ownerReferences"]
        schema = kind.stored_schema or kind.schema
        obj = managedfields.track(record.manifest(), obj, schema, Writer(COLLECTOR, self._cluster.now()))
        self._cluster.storage.put(self._cluster.collection(kind), record.key, obj)

    def _without_finalizer(self, kind: Kind, record: Record, finalizer: str) -> None:
        release(self._cluster, kind, record, finalizer)


def _blocks(dependent: Record, owner: str) -> bool:
    references = dependent.manifest()["metadata"]["ownerReferences"]
    return any(each["uid"] == owner and each.get("blockOwnerDeletion") for each in references)


def release(cluster: Cluster, kind: Kind, record: Record, finalizer: str) -> None:
    """Take a finalizer off; the object goes if it was the last."""
    live = cluster.collection(kind).get(record.key)
    if live is None or live.uid != record.uid:
        return
    obj: Manifest = live.manifest()
    finalizers = [each for each in obj["metadata"].get("finalizers") or [] if each != finalizer]
    if finalizers:
        obj["metadata"]["finalizers"] = finalizers
    else:
        obj["metadata"].pop("finalizers", None)
    if finished(kind, obj):
        cluster.storage.remove(cluster.collection(kind), record.key)
    else:
        cluster.storage.put(cluster.collection(kind), record.key, obj)
