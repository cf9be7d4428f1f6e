"""Who may do what where RBAC does not reach: ValidatingAdmissionPolicies for the hub and for members.

RBAC grants kinds and names; these tie an object's content to who writes it (design, parts 2 and 3; MCS-107,
MCS-109, ABOUT-33). Kubernetes 1.30 and later serve them. They refuse when they cannot be evaluated.
"""

from typing import Final

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.core import MANAGED_BY_LABEL, SERVICE_ACCOUNTS, SERVICE_NAME_LABEL, SERVICES
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    FULL_LABELS,
    MANAGED_BY,
    MARKER_LABEL,
    MEMBERS_NAMESPACE,
    NAMESPACE_LABEL,
)
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.scheme import Manifest
from isthmus.install.admission import (
    CREATE,
    DELETE,
    IS_ADMIN,
    UPDATE,
    Check,
    Parameter,
    Scope,
    either_has,
    is_one_of,
    label,
    policy,
)
from isthmus.install.callers import IS_MEMBER, KUBERNETES, MEMBER, SUBJECT
from isthmus.install.profiles import profile_policies
from isthmus.install.registration import registry_policies
from isthmus.install.roles import AGENT_USER, HUB_USER
from isthmus.mcs.rules.exporting import INLINE_ENDPOINTS, INLINE_PORTS
from isthmus.mcs.rules.foreign import MAX_ANNOTATION_BYTES

# A label's prefix and name.
_KEY: Final = 317

# The Services derived here, in the namespace of the object that is written.
_DERIVED: Final = Parameter(
    SERVICES.api_version, SERVICES.kind, {"selector": {"matchLabels": {MARKER_LABEL: MANAGED_BY}}}
)


def hub_policies(*, hub: str = HUB_USER) -> tuple[Manifest, ...]:
    """For the hub: members write only what is their own, and nothing that others could not carry."""
    return (
        *policy(
            "isthmus-exports-are-their-writers",
            Scope("isthmus.dev", ("exportedservices", "exportedendpoints")),
            (_OWN_NAME, *_OWN_CONTENT, _NAMED_BY_CONTENT),
            # The hub's controller may clear away what a member left; it has the other verbs only to hand them on.
            when={
                "no-admin": f"{IS_MEMBER} || !({is_one_of(*KUBERNETES)} || {IS_ADMIN} "
                f"|| (request.operation == 'DELETE' && {is_one_of(hub)}))"
            },
            variables=MEMBER | SUBJECT,
        ),
        *policy(
            "isthmus-exported-services-fit",
            Scope("isthmus.dev", ("exportedservices",), (CREATE, UPDATE)),
            _service_sizes(),
            when={"has-spec": "has(object.spec)"},
        ),
        *policy(
            "isthmus-exported-endpoints-fit",
            Scope("isthmus.dev", ("exportedendpoints",), (CREATE, UPDATE)),
            (Check(_short_ports("object.spec.slice.?ports"), "spec.slice.ports holds a name that is too long"),),
            when={"has-spec": "has(object.spec)"},
        ),
        *policy(
            "isthmus-member-status-fits",
            Scope("isthmus.dev", ("members/status",), (UPDATE,)),
            (
                _short_keys("object.?status.?properties", 253),
                _short_keys("object.?status.?exports.?namespaces", 63),
                _RULES_GO_ON,
            ),
        ),
        *policy(
            "isthmus-heartbeats-are-their-writers",
            Scope("coordination.k8s.io", ("leases",), namespace=MEMBERS_NAMESPACE),
            (
                Check(
                    "variables.subject.metadata.name == variables.member",
                    says="'member ' + variables.member + ' may write only the Lease of its own name'",
                ),
            ),
            when={"member": IS_MEMBER},
            variables=MEMBER | SUBJECT,
        ),
        *_allowances(),
        *profile_policies(hub=hub),
        *registry_policies(hub=hub),
    )


def _allowances() -> tuple[Manifest, ...]:
    """Who has stored as many as it may stores no more: the hub's controller counts, and marks its account."""
    made: list[Manifest] = []
    for resource, full in FULL_LABELS.items():
        marked = {"namespace": MEMBERS_NAMESPACE, "selector": {"matchLabels": {full: "full"}}}
        made += policy(
            f"isthmus-{resource}-are-not-too-many",
            Scope("isthmus.dev", (resource,), (CREATE,)),
            (
                Check(
                    "params.metadata.name != variables.member",
                    says="'member ' + variables.member + ' has as many exports as it may (spec.maxExports and "
                    "spec.maxExportBytes of its Member): end others first, or have an admin of the hub allow more'",
                ),
            ),
            when={"member": IS_MEMBER},
            variables=MEMBER,
            # Accounts, and not Members: a kind that was defined just now would refuse everybody for half a minute.
            parameter=Parameter(SERVICE_ACCOUNTS.api_version, SERVICE_ACCOUNTS.kind, marked),
        )
    return tuple(made)


def member_policies(*, agent: str = AGENT_USER) -> tuple[Manifest, ...]:
    """For a member: what is imported is its agent's alone, and its identity stands while it is in a set."""
    return (*_import_policies(agent), *_identity_policies())


def _import_policies(agent: str) -> tuple[Manifest, ...]:
    ours = is_one_of(agent, *KUBERNETES)
    imported = "only the Isthmus agent and cluster admins may write {}: change the ServiceExport it comes from"
    return (
        *policy(
            "isthmus-derived-services",
            Scope("", ("services", "services/status")),
            (
                Check(
                    ours,
                    "only the Isthmus agent may write a Service that stands in for an import, or make one look so "
                    f"(labels {MARKER_LABEL}, {IMPORT_NAME_LABEL})",
                ),
            ),
            when={"derived": either_has(MARKER_LABEL, MANAGED_BY) + " || " + either_has(IMPORT_NAME_LABEL)},
        ),
        *policy(
            "isthmus-imported-endpointslices",
            Scope("discovery.k8s.io", ("endpointslices",)),
            (Check(f"{ours} || {IS_ADMIN}", imported.format("imported EndpointSlices")),),
            when={"imported": either_has(MANAGED_BY_LABEL, MANAGED_BY) + " || " + either_has(IMPORT_NAME_LABEL)},
        ),
        *policy(
            "isthmus-derived-endpointslices",
            Scope("discovery.k8s.io", ("endpointslices",), (CREATE, UPDATE), objects=_backing_strangely()),
            (
                Check(
                    f"{label('object', MANAGED_BY_LABEL)} == '{MANAGED_BY}' "
                    f"|| {label('object', SERVICE_NAME_LABEL)} != params.metadata.name",
                    says="'Service ' + params.metadata.name + ' stands in for an import: only imported "
                    "EndpointSlices may back it'",
                ),
            ),
            parameter=_DERIVED,
        ),
        *policy(
            "isthmus-derived-services-stay",
            Scope("multicluster.x-k8s.io", ("serviceexports",), (CREATE,)),
            (
                Check(
                    "object.metadata.name != params.metadata.name",
                    says="'Service ' + params.metadata.name + ' stands in for an import and cannot be exported: "
                    "export the original'",
                ),
            ),
            parameter=_DERIVED,
        ),
        *policy(
            "isthmus-serviceimports",
            Scope("multicluster.x-k8s.io", ("serviceimports",)),
            (Check(f"{ours} || {IS_ADMIN}", imported.format("ServiceImports")),),
        ),
        *policy(
            "isthmus-status",
            Scope("multicluster.x-k8s.io", ("serviceexports/status", "serviceimports/status"), (UPDATE,)),
            (Check(ours, "only the Isthmus agent may write this status"),),
        ),
        *_bounds(agent),
    )


def _bounds(agent: str) -> tuple[Manifest, ...]:
    """The agent's own limits: RBAC must give it all Services, this leaves it the derived ones (MCS-7)."""
    sides = {side: _label_is_ours(side, MARKER_LABEL, MANAGED_BY_LABEL) for side in ("object", "oldObject")}
    made: list[Manifest] = []
    # What stands in our way is taken away (design, part 3, rule 6): a derived Service that lost its marks, slices
    # that lead one elsewhere, slices of an import that are not ours.
    backing = label("oldObject", SERVICE_NAME_LABEL)
    imported = f"oldObject.metadata.?labels[?'{IMPORT_NAME_LABEL}'].hasValue()"
    astray = (
        "oldObject.metadata.name.startsWith('derived-')",
        f"(object == null && ({backing}.startsWith('derived-') || {imported}))",
    )
    kinds = (("", ("services", "services/status")), ("discovery.k8s.io", ("endpointslices",)))
    for (group, resources), strayed in zip(kinds, astray, strict=True):
        made += policy(
            f"isthmus-agent-keeps-to-its-{resources[0]}",
            Scope(group, resources),
            (
                Check(
                    f"(object == null || {sides['object']}) "
                    f"&& (oldObject == null || {sides['oldObject']} || {strayed})",
                    f"the Isthmus agent may write only those {resources[0]} that it has made for an import",
                ),
            ),
            # It asks by a Service for trial which IP families there are.
            when={"agent": f"{is_one_of(agent)} && request.dryRun != true"},
        )
    return tuple(made)


def _identity_policies() -> tuple[Manifest, ...]:
    """ABOUT-33; of the agent too: it makes and deletes, and never rewrites."""
    properties = CLUSTER_PROPERTIES.plural
    same = " && ".join(
        f"object.{path} == oldObject.{path}"
        for path in (
            "?spec.?value.orValue('')",
            "metadata.?labels.orValue({})",
            "metadata.?annotations.orValue({})",
            "metadata.?ownerReferences.orValue([])",
            "metadata.?finalizers.orValue([])",
        )
    )
    return (
        *policy(
            "isthmus-clusterset-is-immutable",
            Scope(CLUSTER_PROPERTIES.group, (properties,), (UPDATE,), names=(CLUSTER_SET,)),
            (
                Check(
                    "object.?spec.?value.orValue('') == oldObject.?spec.?value.orValue('')",
                    f"{CLUSTER_SET} never changes: the cluster leaves its set, then joins the other",
                ),
            ),
        ),
        *policy(
            "isthmus-cluster-id-stands-while-a-member",
            Scope(CLUSTER_PROPERTIES.group, (properties,), (UPDATE, DELETE), names=(CLUSTER_ID,)),
            (
                Check(
                    # A write that changes nothing is none: agents apply what is there.
                    f"request.operation == 'UPDATE' && {same}",
                    says=f"'{CLUSTER_ID} stands while the cluster is in set ' + params.?spec.?value.orValue('') "
                    "+ ': leave the set first'",
                ),
            ),
            parameter=Parameter(CLUSTER_PROPERTIES.api_version, CLUSTER_PROPERTIES.kind, {"name": CLUSTER_SET}),
        ),
    )


_RULES: Final = {side: f"{side}.?status.?rulesVersion.orValue(0)" for side in ("object", "oldObject")}
# All merge by the oldest rules that are known somewhere: nobody has the set go back and forth.
_RULES_GO_ON: Final = Check(
    f"!{IS_MEMBER} || {_RULES['object']} >= {_RULES['oldObject']}",
    says=f"'status.rulesVersion of member ' + object.metadata.name + ' was ' + string({_RULES['oldObject']}) + "
    "': for an older agent, an admin of the hub has to set it back (kubectl patch --subresource status)'",
)
_OWN_NAME: Final = Check(
    "variables.member != '' && variables.subject.metadata.name.startsWith(variables.member + '.')",
    says="variables.member == '' ? 'only members write exports' : 'member ' + variables.member "
    "+ ' may write only objects whose name begins with \"' + variables.member + '.\"'",
)


def _label_is_ours(side: str, *keys: str) -> str:
    return "(" + " || ".join(f"{label(side, key)} == '{MANAGED_BY}'" for key in keys) + ")"


def _backing_strangely() -> Manifest:
    """Slices that back some Service, and do not bear our mark."""
    return {
        "matchExpressions": [
            {"key": SERVICE_NAME_LABEL, "operator": "Exists"},
            {"key": MANAGED_BY_LABEL, "operator": "NotIn", "values": [MANAGED_BY]},
        ]
    }


_OWN_CONTENT: Final = (
    Check(
        "variables.subject.?spec.?cluster.orValue('') == variables.member",
        says="'spec.cluster must be ' + variables.member",
    ),
    Check(
        f"{label('variables.subject', CLUSTER_LABEL)} == variables.member",
        says=f"'label {CLUSTER_LABEL} must be ' + variables.member",
    ),
)
# Readers find objects by name and label: neither may say another service than the content.
_NAMED_BY_CONTENT: Final = Check(
    "request.operation == 'DELETE' || (has(object.spec) "
    f"&& {label('object', NAMESPACE_LABEL)} == object.spec.namespace "
    "&& (object.metadata.name + '.').startsWith("
    "object.spec.cluster + '.' + object.spec.namespace + '.' + object.spec.name + '.') "
    "&& (request.resource.resource != 'exportedservices' || object.metadata.name == "
    "object.spec.cluster + '.' + object.spec.namespace + '.' + object.spec.name))",
    f"name and label {NAMESPACE_LABEL} must be those of spec.cluster, spec.namespace and spec.name",
)


def _service_sizes() -> tuple[Check, ...]:
    """What the definition's schema leaves unbounded: keys, names of ports, sums."""
    slices = "object.spec.?slices.orValue([])"
    keys = "object.spec.?exportedAnnotations.orValue({})"
    return (
        Check(_short_ports("object.spec.?ports"), "spec.ports holds a name that is too long"),
        Check(f"{slices}.all(s, {_short_ports('s.?ports')})", "spec.slices holds a port's name that is too long"),
        Check(
            f"{slices}.map(s, size(s.?endpoints.orValue([]))).sum() <= {INLINE_ENDPOINTS}",
            f"spec.slices holds more than {INLINE_ENDPOINTS} endpoints: they go into chunks",
        ),
        Check(
            f"{slices}.map(s, size(s.?ports.orValue([]))).sum() <= {INLINE_PORTS}",
            f"spec.slices holds more than {INLINE_PORTS} ports: they go into chunks",
        ),
        _short_keys("object.spec.?exportedLabels", _KEY),
        _short_keys("object.spec.?exportedAnnotations", _KEY),
        Check(
            f"{keys}.map(k, size(k) + size(bytes({keys}[k]))).sum() <= {MAX_ANNOTATION_BYTES}",
            f"spec.exportedAnnotations is larger than {MAX_ANNOTATION_BYTES} bytes",
        ),
    )


def _short_ports(path: str) -> str:
    bounds = {"name": 63, "protocol": 63, "appProtocol": _KEY}
    short = " && ".join(f"size(p.?{field}.orValue('')) <= {most}" for field, most in bounds.items())
    return f"{path}.orValue([]).all(p, {short})"


def _short_keys(path: str, most: int) -> Check:
    shown = path.removeprefix("object.").replace("?", "")
    return Check(f"{path}.orValue({{}}).all(k, size(k) <= {most})", f"{shown} has a key longer than {most} bytes")
