"""What an object has to pass before it is kept: defaults, addresses, and the rules of its kind."""

from collections.abc import Iterator, Sequence

from isthmus.api.scheme import Manifest
from isthmus.apiserver import crds
from isthmus.apiserver.accounts import settle_account
from isthmus.apiserver.builtin.defaults import admit_builtin, fill_builtin
from isthmus.apiserver.builtin.validation import validate_builtin, validate_metadata
from isthmus.apiserver.causes import wrong
from isthmus.apiserver.cluster import CRDS, NAMESPACES, PODS, SERVICES, Cluster
from isthmus.apiserver.crds import Definitions
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.schema import Cause, fill_defaults, invalid
from isthmus.apiserver.services import Refusal, ServiceAddresses
from isthmus.apiserver.serviceupdates import carry_over
from isthmus.apiserver.status import forbidden, not_found
from isthmus.apiserver.validation import validate

NAMESPACE_FINALIZER, TEMPLATE_GENERATION = "kubernetes", "deprecated.daemonset.template.generation"
DAEMON_SETS, SLICES = "daemonsets.apps", "endpointslices.discovery.k8s.io"


class Admission:
    """The gate that every write goes through."""

    def __init__(self, cluster: Cluster, services: ServiceAddresses, definitions: Definitions) -> None:
        self._cluster = cluster
        self._services = services
        self._definitions = definitions

    def namespace_ready(self, kind: Kind, namespace: str, name: str) -> None:
        """Raise NotFound when the namespace is missing, Refused (403) when it is on its way out."""
        if not kind.namespaced:
            return
        found = self._cluster.find(NAMESPACES, namespace)
        if found is None:
            raise not_found(self._cluster.kinds.at("", "v1", NAMESPACES), namespace)
        if found.manifest()["metadata"].get("deletionTimestamp"):
            told = f"namespace {namespace} is being terminated"
            raise forbidden(
                kind,
                name,
                f"unable to create new content in namespace {namespace} because it is being terminated",
                [{"reason": "NamespaceTerminating", "message": told, "field": "metadata.namespace"}],
            )

    def complete(self, kind: Kind, obj: Manifest, old: Manifest | None) -> None:
        """Fill in, in place, what the author may leave out: whoever wrote the object owns it."""
        if kind.custom:
            fill_defaults(obj, kind.stored_schema or kind.schema or crds.OPEN)
            # Reads the metadata in place; what is wrong with it is told with the rest, when it is settled.
            _metadata_faults(kind, obj, old)
            return
        if kind.collection == SERVICES and old is not None:
            carry_over(obj["spec"], old["spec"])
        elif kind.collection == DAEMON_SETS:
            _count_templates(obj, old)
        fill_builtin(obj, admit=False)

    def settle(self, kind: Kind, obj: Manifest, old: Manifest | None, subresource: str) -> list[str]:
        """Add, in place, what the server decides, which nobody owns; gives warnings for the author.

        Raises Refused (422) naming broken rules.
        """
        if kind.custom:
            about = _metadata_faults(kind, obj, old)
            schema = kind.stored_schema or kind.schema or crds.OPEN
            causes = [*about, *validate(obj, schema, old)]
            broken, warnings = kind.rules.judge(obj, old, causes) if kind.rules else ([], [])
            self._refuse(kind, obj, [*causes, *broken], warnings)
            return warnings
        if old is None:
            admit_builtin(obj)
        if kind.collection == NAMESPACES:
            _settle_namespace(obj, old, subresource)
        elif kind.collection == CRDS:
            crds.fill(obj)
        elif kind.collection == PODS and old is None:
            settle_account(self._cluster, kind, obj)
        causes = [*_metadata_faults(kind, obj, old), *validate_builtin(obj, old, subresource)]
        self._refuse(kind, obj, [*causes, *self._own_problems(kind, obj, old)])
        if kind.collection == SERVICES:
            self._settle_addresses(kind, obj, old)
        elif kind.collection == CRDS:
            self._definitions.judge(obj)
        return _deprecations(kind, obj)

    def _own_problems(self, kind: Kind, obj: Manifest, old: Manifest | None) -> Iterator[Cause]:
        if kind.collection == CRDS:
            yield from crds.problems(obj, old)
        elif kind.collection == NAMESPACES:
            yield from _namespace_faults(obj)

    def _settle_addresses(self, kind: Kind, obj: Manifest, old: Manifest | None) -> None:
        try:
            self._services.settle(obj, old)
        except Refusal as refusal:
            self._refuse(kind, obj, [refusal.cause])

    def _refuse(self, kind: Kind, obj: Manifest, causes: Sequence[Cause], warnings: Sequence[str] = ()) -> None:
        if not causes:
            return
        refused = invalid(kind.kind, kind.group, obj["metadata"].get("name", ""), causes)
        for warning in warnings:
            refused.add_note(warning)
        raise refused


def _deprecations(kind: Kind, obj: Manifest) -> list[str]:
    """What an object asks for and soon nobody will give."""
    if kind.collection == SERVICES and obj["spec"].get("trafficDistribution") == "PreferClose":
        return ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']
    if kind.collection == SLICES and obj.get("addressType") == "FQDN":
        return ["spec.addressType: FQDN endpoints are deprecated"]
    return []


def _count_templates(obj: Manifest, old: Manifest | None) -> None:
    """Keep, in place, the annotation by which old clients follow a DaemonSet's templates."""
    count = 1
    if old is not None:
        count = int((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, 0))
        count += old["spec"].get("template") != obj["spec"].get("template")
    obj["metadata"]["annotations"] = (obj["metadata"].get("annotations") or {}) | {TEMPLATE_GENERATION: str(count)}


def _namespace_faults(obj: Manifest) -> Iterator[Cause]:
    phase, leaving = (obj.get("status") or {}).get("phase"), obj["metadata"].get("deletionTimestamp")
    if leaving and phase != "Terminating":
        yield wrong("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
    if not leaving and phase != "Active":
        yield wrong("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


def _settle_namespace(obj: Manifest, old: Manifest | None, subresource: str) -> None:
    if old is None:
        obj["spec"] = {"finalizers": [NAMESPACE_FINALIZER]}
        obj["status"] = {"phase": "Active"}
    elif subresource != "finalize":
        obj["spec"] = old.get("spec", {})


def _metadata_faults(kind: Kind, obj: Manifest, old: Manifest | None) -> list[Cause]:
    causes = validate_metadata(obj, old, namespaced=kind.namespaced)
    if not kind.custom and kind.collection != CRDS:
        return causes
    # That a finalizer's name has a slash is asked of core kinds only: Kubernetes' own for definitions has none.
    return [cause for cause in causes if not cause.field.startswith("metadata.finalizers[")]
