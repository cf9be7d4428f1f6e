"""What Kubernetes fills in when a built-in object leaves it out.

Addresses, node ports and everything else that is allocated is not filled in here.
"""

import base64
from collections.abc import Callable, Mapping

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.poddefaults import admit_pod, default, fill_pod, fill_pod_spec
from isthmus.apiserver.builtin.rbac import fill_binding

CLIENT_IP_SECONDS = 10800


def fill_builtin(obj: Manifest, *, admit: bool = True) -> None:
    """Set, in place, the defaults of the object's kind; nothing for kinds that have none.

    With `admit` also what `admit_builtin` adds.
    """
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    filler = FILLERS.get((group, str(obj.get("kind", ""))))
    if filler is not None:
        filler(obj)
    if admit:
        admit_builtin(obj)


def admit_builtin(obj: Manifest) -> None:
    """Add, in place, what a real server's admission adds after ownership was recorded."""
    if (obj.get("apiVersion"), obj.get("kind")) == ("v1", "Pod"):
        admit_pod(obj)


def _fill_service(service: Manifest) -> None:
    spec = service.setdefault("spec", {})
    default(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.get("sessionAffinityConfig") or {}
        if (config.get("clientIP") or {}).get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": CLIENT_IP_SECONDS}}
    for port in spec.get("ports") or ():
        default(port, protocol="TCP")
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port", 0)
    outside = spec["type"] in {"NodePort", "LoadBalancer"}
    if outside or (spec["type"] == "ClusterIP" and spec.get("externalIPs")):
        default(spec, externalTrafficPolicy="Cluster")
    if outside or spec["type"] == "ClusterIP":
        default(spec, internalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        default(spec, allocateLoadBalancerNodePorts=True)


def _fill_template(owner: Manifest) -> Manifest:
    spec: Manifest = owner.setdefault("spec", {})
    template = spec.get("template")
    if isinstance(template, dict):
        fill_pod_spec(template.setdefault("spec", {}))
    return spec


def _fill_deployment(deployment: Manifest) -> None:
    spec = _fill_template(deployment)
    default(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        default(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")


def _fill_replica_set(replica_set: Manifest) -> None:
    default(_fill_template(replica_set), replicas=1)


def _fill_daemon_set(daemon_set: Manifest) -> None:
    spec = _fill_template(daemon_set)
    default(spec, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        default(strategy.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)


def _fill_stateful_set(stateful_set: Manifest) -> None:
    spec = _fill_template(stateful_set)
    default(spec, podManagementPolicy="OrderedReady", replicas=1, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        default(strategy["rollingUpdate"], partition=0)
    policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    default(policy, whenDeleted="Retain", whenScaled="Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        default(claim.setdefault("spec", {}), volumeMode="Filesystem")
        default(claim.setdefault("status", {}), phase="Pending")


def _fill_slice(endpoint_slice: Manifest) -> None:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        default(port, protocol="TCP")


def _fill_endpoints(endpoints: Manifest) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            default(port, protocol="TCP")


def _fill_secret(secret: Manifest) -> None:
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}
    default(secret, type="Opaque")


def _fill_namespace(namespace: Manifest) -> None:
    metadata = namespace.setdefault("metadata", {})
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
    default(namespace.setdefault("status", {}), phase="Active")


def _fill_node(node: Manifest) -> None:
    status = node.setdefault("status", {})
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def _fill_pod_template(template: Manifest) -> None:
    fill_pod_spec(template.setdefault("template", {}).setdefault("spec", {}))


def _fill_network_policy(policy: Manifest) -> None:
    spec = policy.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            default(port, protocol="TCP")


def _fill_definition(definition: Manifest) -> None:
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    default(names, singular=str(names.get("kind", "")).lower(), listKind=f"{names.get('kind', '')}List")
    spec.setdefault("conversion", {"strategy": "None"})


def _fill_admission_policy(policy: Manifest) -> None:
    spec = policy.setdefault("spec", {})
    default(spec, failurePolicy="Fail")
    _fill_match(spec.get("matchConstraints"))


def _fill_admission_binding(binding: Manifest) -> None:
    _fill_match((binding.get("spec") or {}).get("matchResources"))


def _fill_match(match: Manifest | None) -> None:
    if match is None:
        return
    default(match, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for rule in [*(match.get("resourceRules") or ()), *(match.get("excludeResourceRules") or ())]:
        default(rule, scope="*")


FILLERS: Mapping[tuple[str, str], Callable[[Manifest], None]] = {
    ("", "Service"): _fill_service,
    ("", "Pod"): fill_pod,
    ("", "PodTemplate"): _fill_pod_template,
    ("", "Endpoints"): _fill_endpoints,
    ("", "Secret"): _fill_secret,
    ("", "Namespace"): _fill_namespace,
    ("", "Node"): _fill_node,
    ("apps", "Deployment"): _fill_deployment,
    ("apps", "ReplicaSet"): _fill_replica_set,
    ("apps", "DaemonSet"): _fill_daemon_set,
    ("apps", "StatefulSet"): _fill_stateful_set,
    ("discovery.k8s.io", "EndpointSlice"): _fill_slice,
    ("networking.k8s.io", "NetworkPolicy"): _fill_network_policy,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _fill_definition,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _fill_admission_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _fill_admission_binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): fill_binding,
    ("rbac.authorization.k8s.io", "RoleBinding"): fill_binding,
}
