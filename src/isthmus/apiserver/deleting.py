"""Delete: at once, with grace, or as soon as the finalizers let go."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from isthmus.api.scheme import Manifest
from isthmus.apiserver.authentication import SERVER, User
from isthmus.apiserver.call import flag, number, read_manifest
from isthmus.apiserver.cluster import CRDS, NAMESPACES, PODS, Cluster, timestamp
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.matching import DELETE, Attempt
from isthmus.apiserver.policies import Policies
from isthmus.apiserver.status import (
    bad_request,
    forbidden,
    invalid_options,
    not_found,
    precondition_failed,
    unsupported_option,
)
from isthmus.apiserver.storage import Key, Record, encode, encode_unversioned

FOREGROUND, BACKGROUND, ORPHAN = "Foreground", "Background", "Orphan"
# Kubernetes' finalizers for the two policies in which the garbage collector goes before the object.
FINALIZERS = {FOREGROUND: "foregroundDeletion", ORPHAN: "orphan"}
DEFAULT_GRACE = 30
BOTH = "orphanDependents and deletionPropagation cannot be both set"
PROTECTED = ("default", "kube-system", "kube-public")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete, and for whom; `grace` in seconds, None for the object's own."""

    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    grace: int | None = None
    dry_run: bool = False
    user: User = SERVER
    # One of many that are deleted at once: nobody named it.
    unnamed: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str], body: bytes, content_type: str) -> "DeleteOptions":
        """Read the body, or the query when there is none. Raises Refused (400)."""
        sent: Manifest = read_manifest(body, content_type) if body.strip() else {}
        if sent.get("kind", "DeleteOptions") != "DeleteOptions":
            raise bad_request(f"the body of a delete is DeleteOptions, not {sent.get('kind')}")
        for name in ("propagationPolicy", "dryRun"):
            if name in query:
                sent.setdefault(name, [query[name]] if name == "dryRun" else query[name])
        if (sent.get("dryRun") or ["All"]) != ["All"]:
            raise unsupported_option("DeleteOptions", "dryRun", sent["dryRun"], ["All"])
        if "gracePeriodSeconds" in query:
            sent.setdefault("gracePeriodSeconds", number(query, "gracePeriodSeconds"))
        if sent.get("orphanDependents") is not None and sent.get("propagationPolicy"):
            told = f"Invalid value: {json.dumps(sent['propagationPolicy'])}: {BOTH}"
            raise invalid_options("DeleteOptions", "propagationPolicy", "FieldValueInvalid", told)
        if "orphanDependents" in query or "orphanDependents" in sent:
            orphan = sent["orphanDependents"] if "orphanDependents" in sent else flag(query, "orphanDependents")
            sent.setdefault("propagationPolicy", ORPHAN if orphan else BACKGROUND)
        conditions, propagation = sent.get("preconditions") or {}, sent.get("propagationPolicy") or ""
        if propagation not in {"", FOREGROUND, BACKGROUND, ORPHAN}:
            supported = [FOREGROUND, BACKGROUND, ORPHAN, "nil"]
            raise unsupported_option("DeleteOptions", "propagationPolicy", propagation, supported)
        grace = sent.get("gracePeriodSeconds")
        if grace is not None and not isinstance(grace, int):
            raise bad_request("gracePeriodSeconds is not a number")
        return cls(
            str(conditions.get("uid") or ""),
            str(conditions.get("resourceVersion") or ""),
            propagation,
            grace,
            bool(sent.get("dryRun")),
        )


@dataclass(frozen=True, slots=True)
class Deleted:
    """The object as it is after the delete, and whether it is gone."""

    record: Record
    gone: bool
    warnings: list[str] = field(default_factory=list)


class Deleting:
    """The verb, and what the server itself deletes."""

    def __init__(self, cluster: Cluster, policies: Policies) -> None:
        self._cluster = cluster
        self._policies = policies

    def delete(self, kind: Kind, key: Key, options: DeleteOptions) -> Deleted:
        """Delete one object. Raises NotFound, Conflict when a precondition fails, Refused for what must stay."""
        collection = self._cluster.collection(kind)
        live = collection.get(key)
        if live is None:
            raise not_found(kind, key[1])
        _check_preconditions(kind, live, options)
        if kind.collection == NAMESPACES and key[1] in PROTECTED:
            raise forbidden(kind, key[1], "this namespace may not be deleted")
        obj = live.manifest()
        warnings = self._policies.admit(_attempt(kind, key, options, obj))
        marked = self._marked(kind, live.manifest(), options)
        if finished(kind, marked):
            if live.dying and marked != obj and not options.dry_run:
                # Who watches sees first that its grace was cut short.
                self._cluster.storage.put(collection, key, marked)
            gone = live if options.dry_run else self._cluster.storage.remove(collection, key)
            if live.dying or kind.collection == PODS:
                gone = Record(key, gone.revision, encode(marked, gone.revision))
            return Deleted(gone, True, warnings)
        if options.dry_run:
            return Deleted(Record(key, live.revision, encode_unversioned(marked)), False, warnings)
        # A second delete that changes nothing is no write.
        if marked == obj:
            return Deleted(live, False, warnings)
        return Deleted(self._cluster.storage.put(collection, key, marked), False, warnings)

    def delete_all(self, kind: Kind, records: Iterable[Record], options: DeleteOptions) -> None:
        """Delete those of `records` that are still there."""
        options = replace(options, unnamed=True)
        for record in records:
            if self._cluster.collection(kind).get(record.key) is not None:
                self.delete(kind, record.key, options)

    def _marked(self, kind: Kind, obj: Manifest, options: DeleteOptions) -> Manifest:
        metadata = obj["metadata"]
        first = not metadata.get("deletionTimestamp")
        finalizers = _finalizers(metadata.get("finalizers") or [], options.propagation)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        grace = _grace(kind, obj, options)
        if kind.collection in {NAMESPACES, CRDS}:
            metadata.setdefault("deletionTimestamp", timestamp(self._cluster.now()))
            return _terminating(kind, obj)
        # A second delete may shorten the grace, never lengthen it.
        if first or grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionGracePeriodSeconds"] = grace
            metadata["deletionTimestamp"] = timestamp(self._cluster.now() + timedelta(seconds=grace))
        if first and "generation" in metadata:
            metadata["generation"] += 1
        return obj


def _attempt(kind: Kind, key: Key, options: DeleteOptions, obj: Manifest) -> Attempt:
    namespace, name = key
    if kind.collection == NAMESPACES:
        namespace = name
    about = (kind, DELETE, options.user, namespace, "" if options.unnamed else name)
    shown: Manifest = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    return Attempt(*about, old=obj, dry_run=options.dry_run, options=shown)


def finished(kind: Kind, obj: Manifest) -> bool:
    """Whether nothing holds a deleted object any more."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if kind.collection == NAMESPACES:
        return not (obj.get("spec") or {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")


def _terminating(kind: Kind, obj: Manifest) -> Manifest:
    if kind.collection == NAMESPACES:
        obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
        return obj
    conditions = obj["status"]["conditions"]
    if not any(each["type"] == "Terminating" for each in conditions):
        told = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        condition = {"type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "message": told}
        conditions.append(condition | {"lastTransitionTime": obj["metadata"]["deletionTimestamp"]})
    return obj


def _grace(kind: Kind, obj: Manifest, options: DeleteOptions) -> int:
    """Seconds that the object may go on for; only pods that run on a node get any."""
    if kind.collection != PODS:
        return 0
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in {"Succeeded", "Failed"}:
        return 0
    grace: int = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE) if options.grace is None else options.grace
    # What once meant "at once" to some kubelets.
    return grace if grace >= 0 else 1


def _finalizers(present: list[str], propagation: str) -> list[str]:
    if not propagation:
        return present
    kept = [each for each in present if each not in FINALIZERS.values()]
    return kept + ([FINALIZERS[propagation]] if propagation in FINALIZERS else [])


def _check_preconditions(kind: Kind, live: Record, options: DeleteOptions) -> None:
    if options.uid and options.uid != live.uid:
        told = f"the UID in the precondition ({options.uid}) does not match the UID in record ({live.uid})."
        told += " The object might have been deleted and then recreated"
        raise precondition_failed(kind, live.key[1], told)
    if options.resource_version and options.resource_version != str(live.revision):
        told = f"the ResourceVersion in the precondition ({options.resource_version}) does not match "
        told += f"the ResourceVersion in record ({live.revision}). The object might have been modified"
        raise precondition_failed(kind, live.key[1], told)
