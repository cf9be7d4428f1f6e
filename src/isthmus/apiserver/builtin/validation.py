"""Whether a built-in object keeps the rules of its kind: the door to this package's rules."""

import base64
import functools
import ipaddress
import itertools
from collections.abc import Callable, Iterator, Mapping

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema, policies, read_metadata
from isthmus.apiserver.builtin.metadata import metadata_faults
from isthmus.apiserver.builtin.names import config_key_faults
from isthmus.apiserver.builtin.pods import pod_faults, template_faults
from isthmus.apiserver.builtin.rbac import binding_faults, role_faults
from isthmus.apiserver.builtin.services import endpoints_faults, port_reference_faults, service_faults, slice_faults
from isthmus.apiserver.builtin.workloads import selector_faults, workload_faults
from isthmus.apiserver.causes import forbidden, required, too_long, under, unsupported, wrong
from isthmus.apiserver.schema import Cause, Schema

MAX_CAUSES = 100
MAX_DATA = 1024 * 1024
Rule = Callable[[Manifest, Manifest | None], Iterator[Cause]]


def validate_metadata(obj: Manifest, old: Manifest | None = None, *, namespaced: bool) -> list[Cause]:
    """Every fault in the object's metadata, for kinds of all sorts; `old` is the live one on update.

    A custom resource's metadata is read as Go reads it, in place. Raises Refused (400) if that cannot be.
    """
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    if builtin_schema(group, version, str(obj.get("kind", ""))) is None:
        read_metadata(obj)
    return list(itertools.islice(metadata_faults(obj, old, namespaced=namespaced), MAX_CAUSES))


def validate_builtin(obj: Manifest, old: Manifest | None = None, subresource: str = "") -> list[Cause]:
    """Every reason to refuse the object; `old` is the live one on update.

    A status subresource is written by controllers and kubelets; of it only the types are checked.
    """
    if subresource == "status":
        return []
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    kind = str(obj.get("kind", ""))
    schema = builtin_schema(group, version, kind)
    rule = RULES.get((group, kind))
    causes = list(itertools.islice(rule(obj, old), MAX_CAUSES)) if rule is not None else []
    if schema is not None:
        said = {(cause.field, cause.reason) for cause in causes}
        enums = itertools.islice(_enum_faults(obj, schema, ""), MAX_CAUSES)
        causes += [
            cause
            for cause in enums
            if (cause.field, cause.reason) not in said and cause.field not in WORDED and SCHEMA not in cause.field
        ]
    return causes


# Enumerations that Kubernetes lists in an order of its own.
ORDERED: tuple[tuple[str, ...], ...] = (
    ("Always", "OnFailure", "Never"),
    ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
)
# What validation rules look like is told by those who read them.
SCHEMA = ".openAPIV3Schema."
# Enumerations whose fault the rules above report in another place.
WORDED = {"spec.strategy.type", "spec.updateStrategy.type", "spec.podManagementPolicy"}


@functools.cache
def _leads_to_enum(schema: Schema) -> bool:
    todo, seen = [schema], {schema}
    while todo:
        node = todo.pop()
        if node.enum:
            return True
        below = [*node.properties.values(), *filter(None, (node.items, node.additional))]
        todo += [each for each in below if each not in seen]
        seen.update(below)
    return False


def _enum_faults(value: object, schema: Schema, path: str) -> Iterator[Cause]:
    """Values that are none of those the kind's table lists. A status is its writer's own."""
    if not _leads_to_enum(schema):
        return
    if isinstance(value, dict):
        for name, member in value.items():
            known = schema.child(name)
            if known is not None and not (not path and name in {"status", "metadata"}):
                yield from _enum_faults(member, known, under(path, name))
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            yield from _enum_faults(item, schema.items, f"{path}[{index}]")
    elif schema.enum and value and value not in schema.enum:
        names = sorted(filter(None, map(str, schema.enum)))
        yield unsupported(path, value, next((order for order in ORDERED if sorted(order) == names), names))


def _data_faults(obj: Manifest, old: Manifest | None) -> Iterator[Cause]:
    """Faults in a ConfigMap or Secret."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    is_secret = obj["kind"] == "Secret"
    for key in data:
        yield from (wrong(f"data[{key}]", key, fault) for fault in config_key_faults(key))
        if key in binary:
            yield wrong(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in binary:
        yield from (wrong(f"binaryData[{key}]", key, fault) for fault in config_key_faults(key))
    size = sum(_decoded(value) if is_secret else len(value.encode()) for value in data.values())
    if size + sum(map(_decoded, binary.values())) > MAX_DATA:
        yield too_long("data" if is_secret else "[]", MAX_DATA)
    if is_secret:
        yield from _secret_faults(obj, data)
    if old is None:
        return
    if old.get("immutable"):
        yield from _changed_though_immutable(obj, old)
    if is_secret and obj.get("type") != old.get("type"):
        yield wrong("type", obj.get("type"), "field is immutable")


def _decoded(value: str) -> int:
    return len(base64.b64decode(value))


def _changed_though_immutable(obj: Manifest, old: Manifest) -> Iterator[Cause]:
    for field in ("immutable", "data", "binaryData"):
        seen = obj.get(field) is True if field == "immutable" else (obj.get(field) or {}) == (old.get(field) or {})
        if not seen:
            yield forbidden(field, "field is immutable when `immutable` is set")


SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _secret_faults(secret: Manifest, data: Manifest) -> Iterator[Cause]:
    kind = str(secret.get("type", ""))
    for key in SECRET_KEYS.get(kind, ()):
        if key not in data:
            yield required(f"data[{key}]")
    account = ((secret.get("metadata") or {}).get("annotations") or {}).get("kubernetes.io/service-account.name")
    if kind == "kubernetes.io/service-account-token" and not account:
        yield required("metadata.annotations[kubernetes.io/service-account.name]")


def _lease_faults(lease: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    spec = lease.get("spec") or {}
    if spec.get("leaseDurationSeconds") is not None and spec["leaseDurationSeconds"] <= 0:
        yield wrong("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
    if (spec.get("leaseTransitions") or 0) < 0:
        yield wrong("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")


def _event_faults(event: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    about = event.get("involvedObject") or event.get("regarding") or {}
    field = "regarding" if event["apiVersion"].startswith("events") else "involvedObject"
    namespace = (event.get("metadata") or {}).get("namespace") or "default"
    # Events about objects without a namespace go to the default one.
    if about.get("namespace") or event["apiVersion"] == "v1":
        expected = about.get("namespace") or "default"
        if expected != namespace:
            yield wrong(f"{field}.namespace", about.get("namespace", ""), "does not match event.namespace")


def _revision_faults(revision: Manifest, old: Manifest | None) -> Iterator[Cause]:
    if revision.get("revision", 0) < 0:
        yield wrong("revision", revision["revision"], "must be greater than or equal to 0")
    if revision.get("data") is None:
        yield required("data", "data is mandatory")
    if old is not None and revision.get("data") != old.get("data"):
        yield wrong("data", revision.get("data"), "field is immutable")


def _policy_faults(policy: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    spec = policy.get("spec") or {}
    yield from selector_faults(spec.get("podSelector") or {}, "spec.podSelector")
    rules = [
        (f"spec.{kind}[{at}]", rule) for kind in ("ingress", "egress") for at, rule in enumerate(spec.get(kind) or ())
    ]
    for path, rule in rules:
        for index, port in enumerate(rule.get("ports") or ()):
            if port.get("port") is not None:
                yield from port_reference_faults(port["port"], f"{path}.ports[{index}].port")


def _node_faults(node: Manifest, old: Manifest | None) -> Iterator[Cause]:
    spec = node.get("spec") or {}
    ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    for index, text in enumerate(ranges):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            message = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield wrong(f"spec.podCIDRs[{index}]", text, message)
    before = (old or {}).get("spec", {}).get("podCIDRs")
    if before and ranges != before:
        yield forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')


def _pod_template_faults(template: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    yield from template_faults(template.get("template") or {}, "template")


RULES: Mapping[tuple[str, str], Rule] = {
    (policies.GROUP, "ValidatingAdmissionPolicy"): policies.policy_faults,
    (policies.GROUP, "ValidatingAdmissionPolicyBinding"): policies.binding_faults,
    ("", "Service"): service_faults,
    ("", "Pod"): pod_faults,
    ("", "PodTemplate"): _pod_template_faults,
    ("", "ConfigMap"): _data_faults,
    ("", "Secret"): _data_faults,
    ("", "Endpoints"): endpoints_faults,
    ("", "Event"): _event_faults,
    ("", "Node"): _node_faults,
    ("apps", "Deployment"): workload_faults,
    ("apps", "ReplicaSet"): workload_faults,
    ("apps", "StatefulSet"): workload_faults,
    ("apps", "DaemonSet"): workload_faults,
    ("apps", "ControllerRevision"): _revision_faults,
    ("discovery.k8s.io", "EndpointSlice"): slice_faults,
    ("coordination.k8s.io", "Lease"): _lease_faults,
    ("networking.k8s.io", "NetworkPolicy"): _policy_faults,
    ("rbac.authorization.k8s.io", "ClusterRole"): role_faults,
    ("rbac.authorization.k8s.io", "Role"): role_faults,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): binding_faults,
    ("rbac.authorization.k8s.io", "RoleBinding"): binding_faults,
}
