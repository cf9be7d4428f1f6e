"""What a write has to agree with: the path it came by, the live object, the schema."""

import json

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.schema import Cause, invalid
from isthmus.apiserver.status import MODIFIED, bad_request, conflict
from isthmus.apiserver.storage import Record


class _Reference(msgspec.Struct):
    uid: str | None = None
    kind: str | None = None
    name: str | None = None


class _Shape(msgspec.Struct, rename="camel"):
    """What the server itself looks at in any object's metadata."""

    name: str | None = None
    namespace: str | None = None
    generate_name: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None
    owner_references: list[_Reference] | None = None
    managed_fields: list[dict[str, object]] | None = None


def check_shape(kind: Kind, obj: Manifest) -> Manifest:
    """The object's metadata, made where missing. Raises Refused (400) when it is not what metadata may be."""
    metadata: Manifest = obj["metadata"] if obj.get("metadata") is not None else {}
    try:
        msgspec.convert(metadata, _Shape)
    except msgspec.ValidationError as error:
        what = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
        raise bad_request(f"{what}: metadata: {error}") from error
    obj["metadata"] = metadata
    return metadata


def wrong_name(sent: str, wanted: str) -> str:
    """The sentence for two names that differ."""
    return f"the name of the object ({sent}) does not match the name on the URL ({wanted})"


def check_name(wanted: str, metadata: Manifest) -> None:
    """Raise Refused (400) unless the object is called what its path says."""
    sent = metadata.get("name")
    if not sent:
        told = f"the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        raise bad_request(told)
    if sent != wanted:
        raise bad_request(wrong_name(str(sent), wanted))


def check_applied_type(kind: Kind, applied: Manifest) -> None:
    """Raise Refused (400) unless the applied object says what it is, and is what the path says."""
    sent_kind, sent_version = applied.get("kind") or "", applied.get("apiVersion") or ""
    if sent_kind != kind.kind or sent_version != kind.api_version:
        raise bad_request(f"invalid object type: {sent_version or '/'}, Kind={sent_kind}")


def check_type(kind: Kind, obj: Manifest) -> None:
    """Take a type that is not said from the path. Raises Refused (400, 422) for another one."""
    sent_kind, sent_version = obj.get("kind"), obj.get("apiVersion")
    # As on the real server: what is not said is taken from the path.
    obj["kind"] = sent_kind = sent_kind or kind.kind
    obj["apiVersion"] = sent_version = sent_version or kind.api_version
    if sent_kind != kind.kind and kind.custom and sent_version == kind.api_version:
        told = f"Invalid value: {json.dumps(sent_kind)}: must be {kind.kind}"
        name = str((obj.get("metadata") or {}).get("name", ""))
        raise invalid(str(sent_kind), kind.group, name, [Cause("kind", "FieldValueInvalid", told)])
    if (sent_kind, sent_version) == (kind.kind, kind.api_version):
        return
    if kind.custom:
        raise bad_request(
            f"the API version in the data ({sent_version}) does not match the expected API version ({kind.api_version})"
        )
    group, _, version = str(sent_version).rpartition("/")
    if builtin_schema(group, version, str(sent_kind)) is None:
        why = f'no kind "{sent_kind}" is registered for version "{sent_version}" in scheme "pkg/runtime/scheme.go:111"'
    else:
        internal = (kind.group or "core").partition(".")[0]
        why = f"converting ({version}.{sent_kind}) to ({internal}.{kind.kind}): unknown conversion"
    raise bad_request(f'{sent_kind} in version "{version}" cannot be handled as a {kind.kind}: {why}')


def check_namespace(namespace: str, metadata: Manifest) -> None:
    """Raise Refused (400) when path and object name different namespaces."""
    if not namespace:
        # What lies in no namespace says none.
        metadata.pop("namespace", None)
    elif (metadata.get("namespace") or namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def check_preconditions(kind: Kind, name: str, metadata: Manifest, live: Record | None) -> None:
    """Raise Conflict when `metadata` means another object, or another version, than the live one."""
    uid, version = metadata.get("uid"), metadata.get("resourceVersion")
    if live is None:
        if uid:
            raise conflict(
                kind, name, f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            )
        return
    if uid and uid != live.uid:
        told = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live.uid}"
        place = f"Key: {_place(kind, live)}, ResourceVersion: 0, AdditionalErrorMsg: {told}"
        raise conflict(kind, name, f"StorageError: invalid object, Code: 4, {place}")
    if version and version != str(live.revision):
        raise conflict(kind, name, MODIFIED)


# Where the real server keeps some kinds in etcd, which is seen in some of its sentences.
PLACES = {"services": "services/specs", "endpoints": "services/endpoints", "nodes": "minions"}


def _place(kind: Kind, live: Record) -> str:
    folder = f"{kind.group}/{kind.plural}" if kind.custom else PLACES.get(kind.plural, kind.plural)
    return "/".join(filter(None, ("/registry", folder, *live.key)))


def check_unmoved(kind: Kind, old: Manifest, obj: Manifest) -> None:
    """Raise Refused (422) when a patch changes what identifies the object."""
    for own in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        sent, held = obj["metadata"].get(own), old["metadata"].get(own)
        if sent is not None and sent != held:
            told = f"Invalid value: {json.dumps(sent)}: field is immutable"
            cause = Cause(f"metadata.{own}", "FieldValueInvalid", told)
            # Two validators say so on the real server.
            raise invalid(kind.kind, kind.group, obj["metadata"]["name"], [cause, cause])


def check_finalizers(kind: Kind, old: Manifest, obj: Manifest) -> None:
    """Raise Refused (422) when an object on its way out is given another finalizer."""
    if not old["metadata"].get("deletionTimestamp"):
        return
    known = old["metadata"].get("finalizers") or []
    added = [each for each in obj["metadata"].get("finalizers") or [] if each not in known]
    if added:
        listed = ", ".join(f'"{each}"' for each in added)
        told = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{listed}}}"
        )
        cause = Cause("metadata.finalizers", "FieldValueForbidden", told)
        # Two validators say so on the real server.
        raise invalid(kind.kind, kind.group, obj["metadata"]["name"], [cause, cause])
