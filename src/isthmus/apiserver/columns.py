"""The columns of built-in kinds, as kube-apiserver prints them."""

from collections.abc import Mapping
from datetime import datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver import accesscolumns, podcolumns
from isthmus.apiserver.cells import AGE, NONE, UNKNOWN, Cell, age_of, few, field, selector_text, shown, wide
from isthmus.apiserver.cluster import CRDS
from isthmus.apiserver.kinds import Column


def _containers(part: str) -> Cell:
    def cell(manifest: Manifest, _: datetime) -> object:
        template = (manifest.get("spec") or {}).get("template") or {}
        containers = (template.get("spec") or {}).get("containers") or ()
        return ",".join(str(each.get(part, "")) for each in containers)

    return cell


def _template_containers(part: str) -> Cell:
    return lambda manifest, now: _containers(part)({"spec": manifest}, now)


def _template_labels(manifest: Manifest, _: datetime) -> object:
    return selector_text(((manifest.get("template") or {}).get("metadata") or {}).get("labels"))


def _pod_selector(manifest: Manifest, _: datetime) -> object:
    return selector_text((manifest.get("spec") or {}).get("podSelector"))


def _selector(manifest: Manifest, _: datetime) -> object:
    return selector_text((manifest.get("spec") or {}).get("selector"))


def _node_selector(manifest: Manifest, _: datetime) -> object:
    template = (manifest.get("spec") or {}).get("template") or {}
    return selector_text((template.get("spec") or {}).get("nodeSelector"))


def _fraction(ready: str, wanted: str) -> Cell:
    return lambda manifest, now: f"{field(ready, 0)(manifest, now)}/{field(wanted, 0)(manifest, now)}"


def _data(manifest: Manifest, _: datetime) -> object:
    return len(manifest.get("data") or ()) + len(manifest.get("binaryData") or ())


def _service_ports(manifest: Manifest, _: datetime) -> object:
    ports = (manifest.get("spec") or {}).get("ports") or ()
    told = [
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in ports
    ]
    return ",".join(told) or NONE


def _external(manifest: Manifest, _: datetime) -> object:
    spec, kind = manifest.get("spec") or {}, (manifest.get("spec") or {}).get("type")
    if kind == "ExternalName":
        return spec.get("externalName", "")
    addresses = list(spec.get("externalIPs") or ())
    if kind == "LoadBalancer":
        ingress = ((manifest.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        addresses = [each.get("ip") or each.get("hostname", "") for each in ingress] + addresses
        return ",".join(addresses) or "<pending>"
    return ",".join(addresses) or NONE


def _slice_ports(manifest: Manifest, _: datetime) -> object:
    ports = manifest.get("ports") or ()
    numbers = [port.get("name") or "*" if port.get("port") is None else str(port["port"]) for port in ports]
    return few(numbers, 3) or "<unset>"


def _slice_endpoints(manifest: Manifest, _: datetime) -> object:
    endpoints = manifest.get("endpoints") or ()
    return few((address for each in endpoints for address in each.get("addresses") or ()), 3) or "<unset>"


def _subset_endpoints(manifest: Manifest, _: datetime) -> object:
    found = []
    for subset in manifest.get("subsets") or ():
        ips = [each["ip"] for each in subset.get("addresses") or ()]
        shown_ips = [f"[{ip}]" if ":" in ip else ip for ip in ips]
        for port in [f":{port['port']}" for port in subset.get("ports") or ()] or [""]:
            found += [ip + port for ip in shown_ips]
    return few(found, 3) or NONE


def _node_status(manifest: Manifest, _: datetime) -> object:
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    ready = next((each.get("status") for each in conditions if each.get("type") == "Ready"), None)
    told = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    return told + (",SchedulingDisabled" if (manifest.get("spec") or {}).get("unschedulable") else "")


def _roles(manifest: Manifest, _: datetime) -> object:
    prefix = "node-role.kubernetes.io/"
    labels = manifest["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def _node_address(kind: str) -> Cell:
    def cell(manifest: Manifest, _: datetime) -> object:
        addresses = (manifest.get("status") or {}).get("addresses") or ()
        return next((each["address"] for each in addresses if each.get("type") == kind), NONE)

    return cell


def _seen(*fields: str) -> Cell:
    def cell(manifest: Manifest, now: datetime) -> object:
        series = manifest.get("series") or {}
        candidates = [series.get("lastObservedTime") if each == "series" else manifest.get(each) for each in fields]
        return age_of(next(filter(None, candidates), None), now)

    return cell


def _event_object(manifest: Manifest, _: datetime) -> object:
    about = manifest.get("involvedObject") or manifest.get("regarding") or {}
    return "/".join(filter(None, (str(about.get("kind", "")).lower(), about.get("name", ""))))


def _event_source(manifest: Manifest, _: datetime) -> object:
    source = manifest.get("source") or manifest.get("deprecatedSource") or {}
    component = source.get("component") or manifest.get("reportingComponent") or manifest.get("reportingController", "")
    return ", ".join(filter(None, (component, source.get("host") or manifest.get("reportingInstance"))))


def _event_count(manifest: Manifest, _: datetime) -> object:
    series = manifest.get("series") or {}
    return series.get("count") or manifest.get("count") or manifest.get("deprecatedCount") or 1


def _event_text(manifest: Manifest, _: datetime) -> object:
    return str(manifest.get("message") or manifest.get("note") or "").strip()


def _event_part(manifest: Manifest, _: datetime) -> object:
    return (manifest.get("involvedObject") or manifest.get("regarding") or {}).get("fieldPath", "")


def _controller(manifest: Manifest, _: datetime) -> object:
    for owner in manifest["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = str(owner["apiVersion"]).rpartition("/")[0]
            return f"{str(owner['kind']).lower()}{'.' + group if group else ''}/{owner['name']}"
    return NONE


TEMPLATE = (wide("Containers", _containers("name")), wide("Images", _containers("image")))
SELECTOR = wide("Selector", _selector)
EVENTS = (
    shown("Last Seen", _seen("series", "lastTimestamp", "deprecatedLastTimestamp", "firstTimestamp", "eventTime")),
    shown("Type", field("type", "")),
    shown("Reason", field("reason", "")),
    shown("Object", _event_object),
    wide("Subobject", _event_part),
    wide("Source", _event_source),
    shown("Message", _event_text),
    wide("First Seen", _seen("firstTimestamp", "deprecatedFirstTimestamp", "eventTime")),
    wide("Count", _event_count),
    wide("Name", field("metadata.name")),
)
DEFAULT = (AGE,)
BUILT_IN: Mapping[str, tuple[tuple[Column, Cell], ...]] = {
    "pods": podcolumns.COLUMNS,
    "services": (
        shown("Type", field("spec.type", "")),
        shown("Cluster-IP", field("spec.clusterIP")),
        shown("External-IP", _external),
        shown("Port(s)", _service_ports),
        AGE,
        SELECTOR,
    ),
    "endpoints": (shown("Endpoints", _subset_endpoints), AGE),
    "nodes": (
        shown("Status", _node_status),
        shown("Roles", _roles),
        AGE,
        shown("Version", field("status.nodeInfo.kubeletVersion", "")),
        wide("Internal-IP", _node_address("InternalIP")),
        wide("External-IP", _node_address("ExternalIP")),
        wide("OS-Image", field("status.nodeInfo.osImage", UNKNOWN)),
        wide("Kernel-Version", field("status.nodeInfo.kernelVersion", UNKNOWN)),
        wide("Container-Runtime", field("status.nodeInfo.containerRuntimeVersion", UNKNOWN)),
    ),
    "namespaces": (shown("Status", field("status.phase", "")), AGE),
    "events": EVENTS,
    "events.events.k8s.io": EVENTS,
    "configmaps": (shown("Data", _data), AGE),
    "secrets": (shown("Type", field("type", "")), shown("Data", _data), AGE),
    "deployments.apps": (
        shown("Ready", _fraction("status.readyReplicas", "spec.replicas")),
        shown("Up-to-date", field("status.updatedReplicas", 0)),
        shown("Available", field("status.availableReplicas", 0)),
        AGE,
        *TEMPLATE,
        SELECTOR,
    ),
    "replicasets.apps": (
        shown("Desired", field("spec.replicas", 0), "integer"),
        shown("Current", field("status.replicas", 0), "integer"),
        shown("Ready", field("status.readyReplicas", 0), "integer"),
        AGE,
        *TEMPLATE,
        SELECTOR,
    ),
    "statefulsets.apps": (shown("Ready", _fraction("status.readyReplicas", "spec.replicas")), AGE, *TEMPLATE),
    "daemonsets.apps": (
        shown("Desired", field("status.desiredNumberScheduled", 0), "integer"),
        shown("Current", field("status.currentNumberScheduled", 0), "integer"),
        shown("Ready", field("status.numberReady", 0), "integer"),
        shown("Up-to-date", field("status.updatedNumberScheduled", 0), "integer"),
        shown("Available", field("status.numberAvailable", 0), "integer"),
        shown("Node Selector", _node_selector),
        AGE,
        *TEMPLATE,
        SELECTOR,
    ),
    "podtemplates": (
        shown("Containers", _template_containers("name")),
        shown("Images", _template_containers("image")),
        shown("Pod Labels", _template_labels),
    ),
    "controllerrevisions.apps": (
        shown("Controller", _controller),
        shown("Revision", field("revision", 0)),
        AGE,
    ),
    CRDS: (shown("Created At", field("metadata.creationTimestamp"), "date"),),
    "leases.coordination.k8s.io": (shown("Holder", field("spec.holderIdentity", "")), AGE),
    "endpointslices.discovery.k8s.io": (
        shown("AddressType", field("addressType", "")),
        shown("Ports", _slice_ports),
        shown("Endpoints", _slice_endpoints),
        AGE,
    ),
    "roles.rbac.authorization.k8s.io": accesscolumns.ROLES,
    "clusterroles.rbac.authorization.k8s.io": accesscolumns.ROLES,
    "rolebindings.rbac.authorization.k8s.io": accesscolumns.BINDINGS,
    "clusterrolebindings.rbac.authorization.k8s.io": accesscolumns.BINDINGS,
    "validatingadmissionpolicies.admissionregistration.k8s.io": accesscolumns.POLICIES,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": accesscolumns.POLICY_BINDINGS,
    "networkpolicies.networking.k8s.io": (shown("Pod-Selector", _pod_selector), AGE),
}  # fmt: skip
