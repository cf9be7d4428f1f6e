"""What a CustomResourceDefinition may say beside its schemas, in the words of kube-apiserver."""

import re
from collections.abc import Iterator, Mapping

from isthmus.api.scheme import Manifest
from isthmus.apiserver.causes import duplicate, required, unsupported, wrong
from isthmus.apiserver.schema import Cause

APPROVED = "api-approved.kubernetes.io"
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
PATH = re.compile(r"\.[^.]+(\.[^.]+)*")
BAD_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
NO_PATH = "must be a simple json path starting with ."
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def definition_faults(crd: Manifest, old: Manifest | None) -> Iterator[Cause]:
    """Every reason against the definition but those of its schemas."""
    spec, name = crd["spec"], crd["metadata"]["name"]
    names = spec.get("names") or {}
    if old is None and name != f"{names.get('plural', '')}.{spec.get('group', '')}":
        yield wrong("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    yield from _group_faults(spec, crd["metadata"].get("annotations") or {})
    if spec.get("scope") not in {"Namespaced", "Cluster"}:
        yield unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced"))
    yield from _name_faults(names)
    if spec.get("preserveUnknownFields"):
        told = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield wrong("spec.preserveUnknownFields", True, told)
    yield from _version_faults(spec)
    if old is not None:
        yield from _changes(spec, old["spec"])


def _group_faults(spec: Manifest, annotations: Mapping[str, str]) -> Iterator[Cause]:
    group = spec.get("group", "")
    if not DNS_NAME.fullmatch(group):
        yield wrong("spec.group", group, "should be a domain with at least one dot")
    protected = group.endswith((".k8s.io", ".kubernetes.io")) or group in {"k8s.io", "kubernetes.io"}
    if protected and APPROVED not in annotations:
        told = (
            f'protected groups must have approval annotation "{APPROVED}", '
            "see https://github.com/kubernetes/enhancements/pull/1111"
        )
        yield required(f"metadata.annotations[{APPROVED}]", told)


def _name_faults(names: Manifest) -> Iterator[Cause]:
    for part in ("plural", "singular", "kind", "listKind"):
        name, field = str(names.get(part, "")), f"spec.names.{part}"
        lower = name if part in {"plural", "singular"} else name.lower()
        if not name:
            yield required(field)
        elif not LABEL.fullmatch(lower):
            told = BAD_LABEL if lower == name else f"may have mixed case, but should otherwise match: {BAD_LABEL}"
            yield wrong(field, name, told)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield wrong("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
    for part in ("shortNames", "categories"):
        for index, name in enumerate(names.get(part) or ()):
            if not LABEL.fullmatch(name):
                yield wrong(f"spec.names.{part}[{index}]", name, BAD_LABEL)


def _version_faults(spec: Manifest) -> Iterator[Cause]:
    versions: list[Manifest] = spec.get("versions") or []
    if sum(bool(each.get("storage")) for each in versions) != 1:
        yield _of_versions(versions, "must have exactly one version marked as storage version")
    if len({each.get("name") for each in versions}) != len(versions):
        yield _of_versions(versions, "must contain unique version names")
    strategy = (spec.get("conversion") or {}).get("strategy", "None")
    if strategy != "None":
        told = f'Unsupported value: "{strategy}": supported values: "None": this server calls no webhooks'
        yield Cause("spec.conversion.strategy", "FieldValueNotSupported", told)
    for index, version in enumerate(versions):
        where = f"spec.versions[{index}]"
        if not LABEL.fullmatch(str(version.get("name", ""))):
            yield wrong(f"{where}.name", version.get("name", ""), BAD_LABEL)
        warning = version.get("deprecationWarning")
        if warning is not None and not version.get("deprecated"):
            yield wrong(f"{where}.deprecationWarning", warning, "can only be set for deprecated versions")
        # What all versions share the real server says of none of them.
        shared = all(_extras(each) == _extras(version) for each in versions)
        if not (shared and index):
            yield from _extra_faults(version, "spec" if shared else where)


def _extras(version: Manifest) -> list[object]:
    return [version.get(part) for part in ("subresources", "additionalPrinterColumns", "selectableFields")]


def _of_versions(versions: list[Manifest], told: str) -> Cause:
    listed = ", ".join(str(each.get("name")) for each in versions)
    return Cause("spec.versions", "FieldValueInvalid", f"Invalid value: [{listed}]: {told}")


def _extra_faults(version: Manifest, where: str) -> Iterator[Cause]:
    if (scale := (version.get("subresources") or {}).get("scale")) is not None:
        for part, below in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
            yield from _scale_faults(scale.get(part, ""), f"{where}.subresources.scale.{part}", below)
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _column_faults(column, f"{where}.additionalPrinterColumns[{index}]")
    seen: list[str] = []
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    for index, each in enumerate(version.get("selectableFields") or ()):
        path, field = each.get("jsonPath", ""), f"{where}.selectableFields[{index}].jsonPath"
        if not path:
            yield required(field)
        elif path in seen:
            yield duplicate(field, path)
        elif not _is_there(schema, path):
            yield wrong(field, path, "is an invalid path: does not refer to a valid field")
        seen.append(path)


def _scale_faults(path: str, field: str, below: str) -> Iterator[Cause]:
    if not path:
        yield required(field)
    elif not PATH.fullmatch(path):
        yield wrong(field, path, NO_PATH)
    elif not path.startswith(f".{below}."):
        yield wrong(field, path, f"should be a json path under .{below}")


def _column_faults(column: Manifest, where: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield required(f"{where}.name")
    if not column.get("type"):
        yield required(f"{where}.type", f"must be one of {','.join(COLUMN_TYPES)}")
    elif column["type"] not in COLUMN_TYPES:
        yield wrong(f"{where}.type", column["type"], f"must be one of {','.join(COLUMN_TYPES)}")
    if column.get("format") and column["format"] not in COLUMN_FORMATS:
        yield wrong(f"{where}.format", column["format"], f"must be one of {','.join(COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        yield required(f"{where}.JSONPath")
    elif not str(column["jsonPath"]).startswith("."):
        yield wrong(f"{where}.JSONPath", column["jsonPath"], NO_PATH)


def _is_there(schema: Manifest, path: str) -> bool:
    for step in path.strip(".").split("."):
        schema = (schema.get("properties") or {}).get(step) or {}
    return bool(schema)


def _changes(spec: Manifest, old: Manifest) -> Iterator[Cause]:
    for part in ("group", "scope"):
        if spec.get(part) != old.get(part):
            yield wrong(f"spec.{part}", spec.get(part), "field is immutable")
    for part in ("plural", "kind"):
        if spec["names"].get(part) != old["names"].get(part):
            yield wrong(f"spec.names.{part}", spec["names"].get(part), "field is immutable")


def stored_faults(crd: Manifest) -> Iterator[Cause]:
    """What is wrong with the versions that a definition's status says objects are stored in."""
    stored = (crd.get("status") or {}).get("storedVersions") or []
    known = {each.get("name") for each in crd["spec"].get("versions") or ()}
    for index, name in enumerate(stored):
        if name not in known:
            told = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions"
                f" until a storage migration ensures no data remains persisted in {name} and removes {name} from "
                "status.storedVersions"
            )
            yield wrong(f"status.storedVersions[{index}]", name, told)
