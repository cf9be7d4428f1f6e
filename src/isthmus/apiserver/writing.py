"""Create, update, patch and apply: from what the caller sent to what is kept.

Nothing here waits: a write is decided and done in one step, so no other can come between.
"""

import contextlib
import json
import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver import conversion, managedfields, patch, scale
from isthmus.apiserver.admission import Admission
from isthmus.apiserver.agreement import (
    check_applied_type,
    check_finalizers,
    check_name,
    check_namespace,
    check_preconditions,
    check_shape,
    check_type,
    check_unmoved,
    wrong_name,
)
from isthmus.apiserver.authentication import SERVER, User
from isthmus.apiserver.authorization import Attributes, Authorizer
from isthmus.apiserver.builtin import canonical
from isthmus.apiserver.call import read_json, read_manifest, read_yaml
from isthmus.apiserver.cluster import NAMESPACES, Cluster, timestamp
from isthmus.apiserver.deleting import finished
from isthmus.apiserver.escalation import Escalation
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.managedfields import Writer
from isthmus.apiserver.matching import CREATE, UPDATE, Attempt
from isthmus.apiserver.policies import Policies
from isthmus.apiserver.schema import Cause, Schema, invalid, prune
from isthmus.apiserver.status import (
    already_exists,
    bad_request,
    not_found,
    unsupported_media_type,
    unsupported_patch,
)
from isthmus.apiserver.storage import Key, Record, encode, encode_unversioned
from isthmus.errors import APIError, Refused, ServerFault

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
NAME_TRIES = 8


@dataclass(frozen=True, slots=True)
class Write:
    """One write: what it is about, who does it, and how strictly it is read."""

    kind: Kind
    namespace: str
    name: str
    subresource: str = ""
    manager: str = ""
    dry_run: bool = False
    validation: str = WARN
    force: bool = False
    # Sentences about what the body says twice.
    repeated: tuple[str, ...] = ()
    user: User = SERVER

    @property
    def key(self) -> Key:
        """Where the object is kept."""
        return (self.namespace, self.name)

    def asked(self, verb: str) -> Attributes:
        """What its author needs the right to."""
        kind = self.kind
        about = (kind.group, kind.version, kind.plural, self.subresource, self.namespace, self.name)
        return Attributes(self.user, verb, *about)

    def attempt(self, obj: Manifest, old: Manifest | None) -> Attempt:
        """What policies look at; a scale looks like its own kind."""
        kind, shown_kind = self.kind, None
        options: Manifest = {"kind": "UpdateOptions" if old else "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
        if self.dry_run:
            options["dryRun"] = ["All"]
        if self.subresource == "scale" and old is not None:
            obj, old, shown_kind = scale.scale_of(kind, obj), scale.scale_of(kind, old), scale.KIND
        operation, namespace = UPDATE if old else CREATE, self.namespace
        if kind.collection == NAMESPACES:
            namespace = self.name
        about = (kind, operation, self.user, namespace, self.name, self.subresource)
        return Attempt(*about, obj, old, self.dry_run, options, shown_kind)


@dataclass(slots=True)
class Written:
    """What came of it: the object, the HTTP code, and warnings for the caller."""

    record: Record
    code: int = 200
    warnings: list[str] = field(default_factory=list)


class Writing:
    """The verbs that change objects."""

    def __init__(
        self, cluster: Cluster, admission: Admission, authorizer: Authorizer, escalation: Escalation, policies: Policies
    ) -> None:
        self._cluster = cluster
        self._admission = admission
        self.authorizer = authorizer
        self._escalation = escalation
        self.policies = policies

    def create(self, write: Write, obj: Manifest) -> Written:
        """Make a new object. Raises Conflict when the name is taken, NotFound without its namespace, Refused."""
        warnings = self._decode(write, obj, is_new=True)
        return self._make(write, obj, warnings, tracked=False)

    def _make(self, write: Write, obj: Manifest, warnings: list[str], *, tracked: bool) -> Written:
        kind, metadata = write.kind, obj["metadata"]
        if write.name and write.name != metadata.get("name", write.name):
            raise bad_request(wrong_name(metadata["name"], write.name))
        check_namespace(write.namespace, metadata)
        by_name = bool(write.name)
        if metadata.get("resourceVersion"):
            # Not a client's fault, says the real server too: no reason, and 500.
            raise ServerFault(code=500, reason="", message="resourceVersion should not be set on objects to be created")
        write = self._named(write, metadata)
        self._admission.namespace_ready(kind, write.namespace, write.name)
        self._escalation.check(kind, write.user, obj, None)
        self._identify(kind, metadata)
        # The stored form is what is validated: it is what everybody will read.
        obj = conversion.stored(obj, kind)
        self._admission.complete(kind, obj, None)
        if not tracked:
            obj = managedfields.track(None, obj, _schema(kind), self._writer(write))
        with _telling(warnings):
            warnings += self._admission.settle(kind, obj, None, write.subresource)
            if by_name:
                # It was sent to change what is there.
                self.authorizer.check(write.asked("create"))
            warnings += self.policies.admit(write.attempt(obj, None))
        if (there := self._cluster.collection(kind).get(write.key)) is not None:
            raise already_exists(kind, write.name, dying=there.dying)
        return Written(self._put(write, obj), 201, warnings)

    def _identify(self, kind: Kind, metadata: Manifest) -> None:
        for own in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(own, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = timestamp(self._cluster.now())
        if _counts_generations(kind):
            metadata["generation"] = 1

    def update(self, write: Write, obj: Manifest) -> Written:
        """Replace an object. Raises Conflict when it is not the one the caller read, NotFound, Refused."""
        warnings = self._decode(write, obj)
        metadata = obj["metadata"]
        check_name(write.name, metadata)
        check_namespace(write.namespace, metadata)
        live = self._cluster.collection(write.kind).get(write.key)
        if live is None:
            if write.kind.create_on_update and not write.subresource and not metadata.get("resourceVersion"):
                return self.create(write, obj)
            raise not_found(write.kind, write.name)
        if write.kind.custom and not metadata.get("resourceVersion"):
            cause = Cause(
                "metadata.resourceVersion", "FieldValueInvalid", "Invalid value: 0: must be specified for an update"
            )
            raise invalid(write.kind.plural, write.kind.group, write.name, [cause])
        return self._replace(write, live, conversion.stored(obj, write.kind), warnings)

    def patch(self, write: Write, content_type: str, body: bytes) -> Written:
        """Change an object as `body` says. Raises what `update` raises, and Refused for patches that do not fit."""
        media_type = content_type.partition(";")[0].strip()
        if media_type not in PATCH_TYPES or (media_type == STRATEGIC_PATCH and write.kind.custom):
            if media_type == STRATEGIC_PATCH:
                raise unsupported_media_type((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
            raise unsupported_patch()
        if media_type == APPLY_PATCH:
            return self._apply(write, body)
        live = self._cluster.collection(write.kind).get(write.key)
        if live is None:
            raise not_found(write.kind, write.name)
        shown = conversion.served(live.manifest(), write.kind)
        patched = self._patched(write.kind, media_type, shown, body)
        warnings = self._decode(write, patched, is_patch=True)
        check_name(write.name, patched["metadata"])
        check_namespace(write.namespace, patched["metadata"])
        check_unmoved(write.kind, live.manifest(), patched)
        return self._replace(write, live, conversion.stored(patched, write.kind), warnings)

    def _patched(self, kind: Kind, media_type: str, shown: Manifest, body: bytes) -> Manifest:
        if media_type == JSON_PATCH:
            operations = read_json(body)
            if not isinstance(operations, list):
                raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
            return patch.json_patch(shown, operations)
        change = read_manifest(body, "")
        if media_type == MERGE_PATCH or kind.schema is None:
            return patch.merge_patch(shown, change)
        return patch.strategic_merge_patch(shown, change, kind.schema)

    def _apply(self, write: Write, body: bytes) -> Written:
        kind, applied = write.kind, read_yaml(body)
        if applied is None:
            applied = {}
        if not isinstance(applied, dict):
            raise bad_request("error decoding YAML: the applied configuration is not an object")
        check_applied_type(kind, applied)
        if not write.manager:
            cause = Cause("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
            raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
        metadata = check_shape(kind, applied)
        if metadata.setdefault("name", write.name) != write.name:
            raise bad_request(wrong_name(str(metadata["name"]), write.name))
        check_namespace(write.namespace, metadata)
        live = self._cluster.collection(kind).get(write.key)
        if live is None and write.subresource:
            raise not_found(kind, write.name)
        if live is None:
            # A version is asked for only of what is there.
            metadata.pop("resourceVersion", None)
        check_preconditions(kind, write.name, metadata | {"uid": live.uid if live else metadata.get("uid")}, live)
        if live is not None and metadata.get("uid", live.uid) != live.uid:
            shown = json.dumps(metadata["uid"])
            cause = Cause("metadata.uid", "FieldValueInvalid", f"Invalid value: {shown}: field is immutable")
            # Two validators say so on the real server.
            raise invalid(kind.kind, kind.group, write.name, [cause, cause])
        # As it came: what its author says is null, or is unknown to the schema, is for the merge to judge.
        shown_live = conversion.served(live.manifest(), kind) if live else None
        merged = managedfields.apply(shown_live, applied, kind.schema, self._writer(write))
        warnings = self._decode(write, merged, is_new=live is None, is_applied=True)
        if live is not None:
            return self._replace(write, live, conversion.stored(merged, kind), warnings, tracked=True)
        return self._make(write, merged, warnings, tracked=True)

    def _replace(
        self, write: Write, live: Record, obj: Manifest, warnings: list[str], *, tracked: bool = False
    ) -> Written:
        kind, old = write.kind, live.manifest()
        if live.revision < kind.since:
            # What an older schema kept is read by the one of now.
            old = conversion.stored(conversion.served(old, kind), kind)
        self._escalation.check(kind, write.user, obj, old)
        check_preconditions(kind, write.name, obj["metadata"], live)
        _keep_identity(old, obj)
        obj = _only_its_part(kind, write.subresource, old, obj)
        check_finalizers(kind, old, obj)
        self._admission.complete(kind, obj, old)
        if not tracked:
            obj = managedfields.track(old, obj, _schema(kind), self._writer(write))
        with _telling(warnings):
            warnings += self._admission.settle(kind, obj, old, write.subresource)
        if _counts_generations(kind) and (_spec_differs(kind, old, obj) or _is_noted(kind, old, obj)):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        with _telling(warnings):
            warnings += self.policies.admit(write.attempt(obj, old))
        if obj == old:
            return Written(live, 200, warnings)
        if finished(kind, obj) and not write.dry_run:
            self._cluster.storage.remove(self._cluster.collection(kind), write.key)
            # What is told is the version that went, not that of its going.
            return Written(Record(write.key, live.revision, encode(obj, live.revision)), 200, warnings)
        return Written(self._put(write, obj), 200, warnings)

    def _put(self, write: Write, obj: Manifest) -> Record:
        if write.dry_run:
            return Record(write.key, self._cluster.storage.revision, encode_unversioned(obj))
        return self._cluster.storage.put(self._cluster.collection(write.kind), write.key, obj)

    def _named(self, write: Write, metadata: Manifest) -> Write:
        if metadata.get("name"):
            return replace(write, name=metadata["name"])
        base = metadata.get("generateName", "")
        if not base:
            cause = Cause("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
            raise invalid(write.kind.kind, write.kind.group, "", [cause])
        records = self._cluster.collection(write.kind).records
        for _ in range(NAME_TRIES):
            suffix = "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
            metadata["name"] = str(base)[:58] + suffix
            if (write.namespace, metadata["name"]) not in records:
                break
        return replace(write, name=metadata["name"])

    def _decode(
        self, write: Write, obj: Manifest, *, is_new: bool = False, is_patch: bool = False, is_applied: bool = False
    ) -> list[str]:
        """Read the object, in place, as its kind's Go type or schema would; warnings for what that drops."""
        # A refusal of a patch shows the object that it made.
        made = msgspec.json.encode(obj, order="sorted").decode() if is_patch else ""
        kind = write.kind
        try:
            check_type(kind, obj)
            metadata = check_shape(kind, obj)
            if write.namespace:
                metadata["namespace"] = metadata.get("namespace") or write.namespace
            # The merge has refused unknown fields itself, and left nulls for the schema to judge.
            unknown = prune(obj, kind.schema) if kind.schema is not None and not is_applied else []
            told = [*write.repeated, *(f'unknown field "{path}"' for path in unknown)]
            if told and write.validation == STRICT:
                what = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
                raise bad_request(f"{what}: strict decoding error: {', '.join(told)}")
            if is_new and "status" in kind.subresources and not kind.status_from_author:
                obj.pop("status", None)
            if kind.schema is not None and not kind.custom:
                canonical(obj, kind.schema)
        except Refused as error:
            why = error.message.partition(f"cannot be handled as a {kind.kind}: ")[2]
            if not (is_patch and why):
                raise
            cause = Cause("patch", "FieldValueInvalid", f"Invalid value: {json.dumps(made)}: {why}")
            raise invalid("", "", "", [cause]) from error
        return told if write.validation == WARN else []

    def _writer(self, write: Write) -> Writer:
        has_status = "status" in write.kind.subresources
        writer = Writer(write.manager, self._cluster.now(), write.subresource, write.force, has_status)
        # Fields are booked under the version by which they were written.
        return replace(writer, api_version=write.kind.api_version) if write.kind.custom else writer


@contextlib.contextmanager
def _telling(warnings: Sequence[str]) -> Iterator[None]:
    """Whoever is refused is told the warnings all the same: they are notes on the error."""
    try:
        yield
    except APIError as error:
        for warning in warnings:
            error.add_note(warning)
        raise


def _schema(kind: Kind) -> Schema | None:
    return kind.stored_schema or kind.schema


IDENTITY = (
    "name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp",
    "deletionGracePeriodSeconds", "selfLink",
)  # fmt: skip


def _keep_identity(old: Manifest, obj: Manifest) -> None:
    for own in IDENTITY:
        if own in old["metadata"]:
            obj["metadata"][own] = old["metadata"][own]
        else:
            obj["metadata"].pop(own, None)


def _only_its_part(kind: Kind, subresource: str, old: Manifest, obj: Manifest) -> Manifest:
    """What this path may write: a status never comes by the object itself, a spec never by the status."""
    if "status" not in kind.subresources:
        return obj
    if subresource != "status":
        obj.pop("status", None)
        return obj | ({"status": old["status"]} if "status" in old else {})
    kept = dict(old)
    metadata = dict(old["metadata"])
    if not kind.custom:
        metadata |= {part: obj["metadata"][part] for part in ("labels", "annotations") if part in obj["metadata"]}
    if "managedFields" in obj["metadata"]:
        metadata["managedFields"] = obj["metadata"]["managedFields"]
    kept["metadata"] = metadata
    kept.pop("status", None)
    if kind.resource == "pods" and "qosClass" in old.get("status", {}):
        obj.setdefault("status", {}).setdefault("qosClass", old["status"]["qosClass"])
    return kept | ({"status": obj["status"]} if "status" in obj else {})


def _counts_generations(kind: Kind) -> bool:
    return kind.generation or kind.custom


def _is_noted(kind: Kind, old: Manifest, obj: Manifest) -> bool:
    # A deployment hands its annotations on, so they are part of what is wanted.
    notes = [each["metadata"].get("annotations") or {} for each in (old, obj)]
    return kind.resource == "deployments.apps" and notes[0] != notes[1]


def _spec_differs(kind: Kind, old: Manifest, obj: Manifest) -> bool:
    left_out = {"metadata", "apiVersion", "kind"}
    if "status" in kind.subresources:
        left_out.add("status")
    fields = (old.keys() | obj.keys()) - left_out
    return any(old.get(each) != obj.get(each) for each in fields)
