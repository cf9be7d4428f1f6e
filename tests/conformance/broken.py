"""Agents that break one rule each, for the suite to find: `python -m tests.conformance.broken RULE AGENT-OPTIONS...`.

The product has no hooks for this. This entry point replaces a rule before the agent is loaded, then runs it whole.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import ModuleType

import msgspec

from isthmus.api.core import MANAGED_BY_LABEL, EndpointConditions, EndpointPort, ObjectReference, Service
from isthmus.api.isthmus import RESERVED_IPS_ANNOTATION
from isthmus.api.mcs import DERIVED_SERVICE_ANNOTATION, HEADLESS, ServiceImport, ServiceImportStatus
from isthmus.api.meta import Condition, ObjectMeta
from isthmus.kube.events import Recorder
from isthmus.mcs.rules import conditions, constituent, exporting, hints, importing, merge, names, ports, slices

SOUND = "sound"
Sound = Callable[..., object]


@dataclass(frozen=True)
class Broken:
    """A rule that is broken, and the checks that must find it."""

    rule: str
    found_by: tuple[str, ...]
    break_it: Callable[[], None]


def changed(place: ModuleType | type, name: str, change: Callable[..., object]) -> None:
    """Put `change` in a function's place; it is called with the sound function, then with what that was called with."""
    sound = getattr(place, name)
    # Rules that are loaded already may have taken the function over by its name.
    takers = [each for each in sys.modules.values() if vars(each).get(name) is sound]
    for each in {id(each): each for each in (place, *takers)}.values():
        setattr(each, name, lambda *args, **more: change(sound, *args, **more))


def by_cluster_name() -> None:
    """All exports seem equally old: precedence by the cluster's name."""
    changed(constituent, "whole_second", lambda *_: datetime(2020, 1, 1, tzinfo=UTC))


def union_of_labels() -> None:
    """Exported labels and annotations are merged key by key."""

    def merged(sound: Callable[..., merge.Merged | None], *args: object, **more: object) -> merge.Merged | None:
        found = sound(*args, **more)
        if found is None:
            return None
        labels, annotations = dict(found.labels), dict(found.annotations)
        for each in found.exporters:
            labels |= each.spec.exported_labels
            annotations |= each.spec.exported_annotations
        return replace(found, labels=labels, annotations=annotations)

    changed(merge, "merge", merged)


def ips_out_of_order() -> None:
    """The ips do not follow the ipFamilies."""

    def reversed_ips(sound: Callable[..., ServiceImport], *args: object) -> ServiceImport:
        made = sound(*args)
        assert made.spec is not None
        return msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, ips=made.spec.ips[::-1]))

    def as_they_were(sound: Callable[..., tuple[str, ...]], *args: object) -> tuple[str, ...]:
        # Else the agent would take what it has written for another Service's addresses.
        return sound(*args)[::-1]

    changed(importing, "_service_import", reversed_ips)
    changed(importing, "recorded_ips", as_they_were)


def slices_stay() -> None:
    """Slices are not taken away with their export, and do not belong to the import."""

    def unowned(sound: Callable[..., ObjectMeta], *args: object) -> ObjectMeta:
        return msgspec.structs.replace(sound(*args), owner_references=())

    changed(slices, "is_ours_slice", lambda *_: False)
    changed(slices._Metadata, "of", unowned)


def conflict_of_the_loser() -> None:
    """Only the younger export says that there is a conflict."""

    def said(sound: Sound, state: conditions.ExportState, *, cluster: str, **more: object) -> object:
        if state.merged and state.merged.winner.cluster == cluster:
            state = replace(state, merged=replace(state.merged, conflicts=()))
        return sound(state, cluster=cluster, **more)

    changed(conditions, "export_conditions", said)


def external_names() -> None:
    """Services of type ExternalName are exported."""
    exporting.EXPORTABLE_TYPES = (*exporting.EXPORTABLE_TYPES, "ExternalName")  # type: ignore[assignment]  # one more


def ports_of_all() -> None:
    """Every exporter's backends get every port."""

    def everywhere(_: Sound, seen: list[EndpointPort], __: object, merged: list[EndpointPort]) -> object:
        numbers = [port.port for port in seen]
        return tuple(EndpointPort(name=p.name, protocol=p.protocol, port=numbers[0]) for p in merged if numbers)

    changed(ports, "fitted", everywhere)


def without_export() -> None:
    """A Service that is not exported takes part when another cluster exports its name."""

    def wanted(
        sound: Sound,
        found: merge.Merged,
        plan: object,
        sources: slices.Sources,
        here: importing.Here,
        **more: object,
    ) -> object:
        if sources.own and here.cluster not in found.clusters:
            found = replace(found, exporters=(*found.exporters, replace(found.winner, cluster=here.cluster)))
        return sound(found, plan, sources, here, **more)

    changed(slices, "wanted_slices", wanted)


def no_families_of_headless() -> None:
    """Headless imports say nothing of their IP families."""

    def service_import(sound: Callable[..., ServiceImport], found: merge.Merged, *args: object) -> ServiceImport:
        made = sound(found, *args)
        if found.type != HEADLESS or made.spec is None:
            return made
        return msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, ip_families=()))

    changed(importing, "_service_import", service_import)


def unmanaged() -> None:
    """Imported slices do not say who manages them."""

    def unlabelled(sound: Callable[..., ObjectMeta], *args: object) -> ObjectMeta:
        made = sound(*args)
        labels = {key: value for key, value in made.labels.items() if key != MANAGED_BY_LABEL}
        return msgspec.structs.replace(made, labels=labels)

    changed(slices._Metadata, "of", unlabelled)


def new_address_on_conflict() -> None:
    """A conflict gives the import another derived Service, and so another address."""
    among = {"conflicts": False}

    def imported(
        sound: Sound, found: merge.Merged, here: object, *, seen: ServiceImport | None, services: object
    ) -> object:
        among["conflicts"] = bool(found.conflicts)
        other = names.derived_name(found.namespace, found.name, 7)
        if seen and found.conflicts and seen.metadata.annotations.get(DERIVED_SERVICE_ANNOTATION) != other:
            seen = _without_addresses(seen)
        return sound(found, here, seen=seen, services=services)

    def name_for(sound: Sound, key: names.ImportKey, *args: object) -> object:
        return names.derived_name(*key, 7) if among["conflicts"] else sound(key, *args)

    changed(importing, "imported", imported)
    changed(importing, "derived_name_for", name_for)


def _without_addresses(seen: ServiceImport) -> ServiceImport:
    kept = {key: value for key, value in seen.metadata.annotations.items() if key != RESERVED_IPS_ANNOTATION}
    metadata = msgspec.structs.replace(seen.metadata, annotations=kept)
    spec = seen.spec and msgspec.structs.replace(seen.spec, ips=())
    return msgspec.structs.replace(seen, metadata=metadata, spec=spec)


def unready_too() -> None:
    """Endpoints that are not ready are told to be."""

    def ready(sound: Callable[..., msgspec.Struct], *args: object) -> msgspec.Struct:
        return msgspec.structs.replace(sound(*args), ready=True)

    def all_ready(sound: Callable[..., slices._Draft], *args: object) -> slices._Draft:
        draft = sound(*args)
        always = EndpointConditions(ready=True)
        return replace(draft, endpoints=tuple(msgspec.structs.replace(e, conditions=always) for e in draft.endpoints))

    changed(exporting, "_endpoint", ready)
    changed(slices, "_own", all_ready)


def labels_of_the_service() -> None:
    """The Service's own labels travel."""

    def publish(
        sound: Callable[..., exporting.Publication],
        export: object,
        service: Service,
        *args: object,
        **more: object,
    ) -> exporting.Publication:
        made = sound(export, service, *args, **more)
        assert made.service.spec is not None
        spec = msgspec.structs.replace(made.service.spec, exported_labels=dict(service.metadata.labels))
        return replace(made, service=msgspec.structs.replace(made.service, spec=spec))

    changed(exporting, "publish", publish)


def no_hints() -> None:
    """trafficDistribution stands in the import and has no effect."""
    changed(hints, "nearness", lambda *_: None)


def conflicts_unsaid() -> None:
    """Conflicts have no message."""

    def silent(sound: Callable[..., tuple[Condition, ...]], *args: object, **more: object) -> tuple[Condition, ...]:
        return tuple(msgspec.structs.replace(each, message="") for each in sound(*args, **more))

    changed(conditions, "export_conditions", silent)


def slices_unannounced() -> None:
    """An import's status does not say whether it has slices."""

    def silent(sound: Callable[..., ServiceImportStatus], *args: object, **more: object) -> ServiceImportStatus:
        return msgspec.structs.replace(sound(*args, **more), endpoint_slice_objects="")

    changed(conditions, "import_status", silent)


def held_imports() -> None:
    """Imports have a finalizer that nobody takes off."""

    def held(sound: Callable[..., ServiceImport], *args: object) -> ServiceImport:
        made = sound(*args)
        metadata = msgspec.structs.replace(made.metadata, finalizers=("broken.test/held",))
        return msgspec.structs.replace(made, metadata=metadata)

    changed(importing, "_service_import", held)


def first_type() -> None:
    """An import keeps the type that it had first."""
    first: dict[tuple[str, str], str] = {}

    def merged(sound: Callable[..., merge.Merged | None], *args: object, **more: object) -> merge.Merged | None:
        found = sound(*args, **more)
        return found and replace(found, type=first.setdefault((found.namespace, found.name), found.type))

    changed(merge, "merge", merged)


def events_elsewhere() -> None:
    """Events are about the Service."""

    def emit(sound: Sound, recorder: Recorder, about: ObjectReference, **more: object) -> object:
        return sound(recorder, msgspec.structs.replace(about, api_version="v1", kind="Service"), **more)

    changed(Recorder, "emit", emit)


BROKEN = (
    Broken("precedence by cluster name", ("E-54",), by_cluster_name),
    Broken("union of labels", ("C-3", "E-51"), union_of_labels),
    Broken("ips out of order", ("C-8",), ips_out_of_order),
    Broken("slices stay after un-export", ("C-16",), slices_stay),
    Broken("conflict told by the loser alone", ("C-10",), conflict_of_the_loser),
    Broken("conflict without a message", ("E-51",), conflicts_unsaid),
    Broken("ExternalName exported", ("C-14",), external_names),
    Broken("ports of all exporters", ("E-57",), ports_of_all),
    Broken("endpoints of a cluster without export", ("E-30",), without_export),
    Broken("headless without ipFamilies", ("C-25",), no_families_of_headless),
    Broken("slices without managed-by", ("C-16",), unmanaged),
    Broken("slices not announced", ("E-43",), slices_unannounced),
    Broken("imports held by a finalizer", ("E-45",), held_imports),
    Broken("a type that never changes", ("E-46",), first_type),
    Broken("Events about another object", ("E-47",), events_elsewhere),
    Broken("another clusterset IP on conflict", ("E-32",), new_address_on_conflict),
    Broken("unready endpoints lead", ("E-29",), unready_too),
    Broken("labels of the Service exported", ("E-38",), labels_of_the_service),
    Broken("no effect of trafficDistribution", ("E-6",), no_hints),
)
RULES = {each.rule: each for each in BROKEN}


def main() -> None:
    """Break the rule, then be the agent."""
    rule, *arguments = sys.argv[1:]
    if rule != SOUND:
        RULES[rule].break_it()
    # Only now: the agent's modules take their rules when they are loaded.
    from isthmus.cli.main import main as isthmus  # noqa: PLC0415

    sys.argv = ["isthmus", "agent", *arguments]
    isthmus()


if __name__ == "__main__":
    main()
