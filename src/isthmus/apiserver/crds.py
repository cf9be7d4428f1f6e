"""Custom kinds: from a CustomResourceDefinition to what is served."""

import copy
from collections.abc import Iterator

from isthmus.api.scheme import Manifest
from isthmus.apiserver.causes import required
from isthmus.apiserver.cluster import Cluster, timestamp
from isthmus.apiserver.definitionrules import definition_faults, stored_faults
from isthmus.apiserver.kinds import Column, Kind, Scale, by_maturity
from isthmus.apiserver.rulefaults import rule_faults
from isthmus.apiserver.rules import Rules
from isthmus.apiserver.schema import Cause, Schema
from isthmus.apiserver.storage import DELETED, Change
from isthmus.apiserver.structural import NotStructural, from_crd

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
OPEN = Schema(type="object", preserve_unknown=True)


def fill(crd: Manifest) -> None:
    """Set, in place, what the author may leave out."""
    spec = crd["spec"]
    names = spec.get("names") or {}
    if names.get("kind"):
        names.setdefault("singular", str(names["kind"]).lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    finalizers = crd["metadata"].get("finalizers") or []
    if CLEANUP not in finalizers and not crd["metadata"].get("deletionTimestamp"):
        crd["metadata"]["finalizers"] = [*finalizers, CLEANUP]


def problems(crd: Manifest, old: Manifest | None) -> list[Cause]:
    """Why this definition cannot be."""
    return [*definition_faults(crd, old), *_all_schema_problems(crd["spec"]), *stored_faults(crd)]


def _all_schema_problems(spec: Manifest) -> Iterator[Cause]:
    versions = spec.get("versions") or []
    schemas = [(each.get("schema") or {}).get("openAPIV3Schema") for each in versions]
    alike = all(each == schemas[0] for each in schemas)
    for index, schema in enumerate(schemas):
        where = "spec.validation" if alike else f"spec.versions[{index}].schema"
        if not schema:
            yield required(f"spec.versions[{index}].schema.openAPIV3Schema")
        elif not (alike and index):
            yield from _schema_problems(schema, f"{where}.openAPIV3Schema")


def _schema_problems(schema: Manifest, where: str) -> Iterator[Cause]:
    try:
        from_crd(schema)
    except NotStructural as error:
        for cause in error.causes:
            yield Cause(f"{where}.{cause.field}".rstrip("."), cause.reason, cause.message)
        return
    yield from rule_faults(schema, where)


class Definitions:
    """The definitions of one cluster, and the kinds that follow from them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def judge(self, crd: Manifest) -> None:
        """Write, in place, the status that says whether the names are accepted and the kinds served."""
        # A copy: what is to be written is compared with what was, and an update shares its status with that.
        status = crd["status"] = copy.deepcopy(crd.get("status", {}))
        taken = self._taken_name(crd)
        names = "False" if taken else "True"
        told = f"{taken} is already in use" if taken else "no conflicts found"
        self._set(status, "NamesAccepted", names, ("NameConflict" if taken else "NoConflicts", told))
        if taken:
            self._set(status, "Established", "False", ("NotAccepted", "not all names are accepted"))
        else:
            told = "the initial names have been accepted"
            self._set(status, "Established", "True", ("InitialNamesAccepted", told))
            status["acceptedNames"] = crd["spec"]["names"]
        status.setdefault("acceptedNames", {"plural": "", "kind": ""})
        storage = next(each["name"] for each in crd["spec"]["versions"] if each.get("storage"))
        stored = status["storedVersions"] = status.get("storedVersions") or []
        if storage not in stored:
            stored.append(storage)

    def _set(self, status: Manifest, condition: str, value: str, why: tuple[str, str]) -> None:
        conditions: list[Manifest] = status.get("conditions") or []
        status["conditions"] = conditions
        wanted = {"type": condition, "status": value, "reason": why[0], "message": why[1]}
        for index, seen in enumerate(conditions):
            if seen.get("type") == condition:
                if seen.get("status") != value:
                    seen["lastTransitionTime"] = timestamp(self._cluster.now())
                conditions[index] = seen | wanted
                return
        conditions.append(wanted | {"lastTransitionTime": timestamp(self._cluster.now())})

    def _taken_name(self, crd: Manifest) -> str:
        spec, own = crd["spec"], crd["metadata"]["name"]
        names = spec["names"]
        others = [kind for kind in self._cluster.kinds if kind.group == spec["group"] and kind.resource != own]
        used = {name for kind in others for name in (kind.plural, kind.singular, *kind.short_names)}
        wanted = [names["plural"], names["singular"], *(names.get("shortNames") or ())]
        taken = [f'"{name}"' for name in wanted if name in used]
        taken += [f'"{names["kind"]}"' for kind in others if kind.kind == names["kind"]]
        return taken[0] if taken else ""

    def seen(self, change: Change) -> None:
        """Serve what the definitions say now."""
        crd = change.record.manifest()
        before = change.before.manifest() if change.before else None
        # Objects are read anew under a new schema: its defaults show, what it dropped does not.
        same = before is not None and before["spec"]["versions"] == crd["spec"]["versions"]
        known = self._cluster.kinds.keeping(crd["metadata"]["name"])
        since = known.since if same and known else change.revision
        kinds = [] if change.type == DELETED or not is_established(crd) else list(kinds_of(crd, since))
        self._cluster.kinds.replace(crd["metadata"]["name"], kinds)
        if not same:
            # Watches hold on to the kind they began with.
            self._cluster.storage.collection(crd["metadata"]["name"]).window.interrupt()


def is_established(crd: Manifest) -> bool:
    """Whether the kinds are served."""
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def kinds_of(crd: Manifest, since: int) -> Iterator[Kind]:
    """One kind for each served version; `since` is the revision at which its schemas came."""
    spec, names = crd["spec"], crd["status"]["acceptedNames"]
    versions = spec["versions"]
    storage = next(each for each in versions if each.get("storage"))
    schemas: list[tuple[Manifest, Schema]] = []
    for version in versions:
        openapi = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        known = next((schema for seen, schema in schemas if seen == openapi), None)
        schemas.append((openapi, known or _parsed(openapi)))
    stored_schema = schemas[versions.index(storage)][1]
    for version, (openapi, schema) in zip(versions, schemas, strict=True):
        if not version.get("served"):
            continue
        subresources = version.get("subresources") or {}
        yield Kind(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            singular=names.get("singular", ""),
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=tuple(sorted(subresources)),
            custom=True,
            list_kind=names.get("listKind", ""),
            stored_version=storage["name"],
            stored_schema=stored_schema,
            schema=schema,
            since=since,
            columns=tuple(map(_column, version.get("additionalPrinterColumns") or ())),
            scale=_scale(subresources.get("scale")),
            selectable=tuple(each["jsonPath"].lstrip(".") for each in version.get("selectableFields") or ()),
            warning=_deprecation(crd, version),
            openapi=openapi,
            rules=Rules(openapi),
        )


def _parsed(openapi: Manifest) -> Schema:
    try:
        return from_crd(openapi)
    except NotStructural:
        # Kept from a time when the rules were others: served, but neither pruned nor validated.
        return OPEN


def _deprecation(crd: Manifest, version: Manifest) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    names = [each["name"] for each in crd["spec"]["versions"] if each.get("served") and not each.get("deprecated")]
    better = min(names, key=by_maturity, default="")
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    told = f"{group}/{version['name']} {kind} is deprecated"
    return (
        f"{told}; use {group}/{better} {kind}"
        if better and by_maturity(better) < by_maturity(version["name"])
        else told
    )


def _column(column: Manifest) -> Column:
    return Column(
        column["name"],
        column["type"],
        column["jsonPath"],
        column.get("format", ""),
        column.get("description") or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}",
        column.get("priority", 0),
    )


def _scale(scale: Manifest | None) -> Scale | None:
    if not scale:
        return None
    return Scale(
        scale["specReplicasPath"].lstrip("."),
        scale["statusReplicasPath"].lstrip("."),
        (scale.get("labelSelectorPath") or "").lstrip("."),
    )
