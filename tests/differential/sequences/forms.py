"""The same objects in other forms: tables of every kind, metadata alone, YAML; and forms that are not given."""

from isthmus.api.scheme import Manifest
from tests.differential.steps import (
    APPS,
    CBOR,
    CORE,
    CRDS,
    HOME,
    LEASES,
    MAPS,
    PARTIAL,
    PARTIALS,
    PODS,
    PROTOBUF,
    SERVICES,
    TABLE,
    YAML,
    Sequence,
    Step,
    delete,
    get,
    named,
    patch,
    pod,
    post,
    put,
    sequence,
    service,
    workload,
)

SLICES = "/apis/discovery.k8s.io/v1/namespaces/${ns}/endpointslices"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/${ns}/networkpolicies"
NEWER_EVENTS = "/apis/events.k8s.io/v1/namespaces/${ns}/events"


def shown(path: str, name: str) -> tuple[Step, ...]:
    """One object, and all of its kind, as tables."""
    return (get(f"{path}/{name}", TABLE), get(f"{path}?fieldSelector=metadata.name={name}", TABLE))


def made(path: str, body: Manifest, status: Manifest | None = None) -> tuple[Step, ...]:
    """An object is made, given a status, and shown."""
    name = str(body["metadata"]["name"])
    told = (patch(f"{path}/{name}/status", {"status": status}, unseen=True),) if status else ()
    return (post(path, body, unseen=True), *told, *shown(path, name))


def container(name: str, **state: object) -> Manifest:
    return {"name": name, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "started": False, **state}


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
CRASHED = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}}
POD_STATES: tuple[Manifest, ...] = (
    {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "containerStatuses": [container("c", ready=True, started=True, state=RUNNING)],
    },
    {
        "phase": "Running",
        "containerStatuses": [
            container("c", restartCount=3, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=CRASHED)
        ],
    },
    {"phase": "Failed", "reason": "Evicted"},
    {
        "phase": "Succeeded",
        "containerStatuses": [container("c", state={"terminated": {"exitCode": 0, "reason": "Completed"}})],
    },
    {"phase": "Failed", "containerStatuses": [container("c", state={"terminated": {"exitCode": 2}})]},
    {"phase": "Failed", "containerStatuses": [container("c", state={"terminated": {"exitCode": 0, "signal": 9}})]},
    {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
    {"phase": "Pending", "initContainerStatuses": [container("a", state={"waiting": {"reason": "PodInitializing"}})]},
    {"phase": "Pending", "initContainerStatuses": [container("a", state=CRASHED, restartCount=2)]},
    {"phase": "Unknown", "reason": "NodeLost", "nominatedNodeName": "n9"},
)
PODS_SHOWN = sequence(
    "tables: pods in every state",
    *(
        step
        for number, status in enumerate(POD_STATES)
        for step in made(PODS, pod(f"p{number}", nodeName="n1", initContainers=[{"name": "a", "image": "i"}]), status)
    ),
    *made(PODS, pod("gated", schedulingGates=[{"name": "a"}], readinessGates=[{"conditionType": "x.io/y"}])),
    *made(PODS, pod("leaving", nodeName="n1")),
    delete(f"{PODS}/leaving", unseen=True),
    *shown(PODS, "leaving"),
    get(PODS, TABLE),
)

WORKLOADS_SHOWN = sequence(
    "tables: workloads",
    *made(f"{APPS}/deployments", workload("d", replicas=3)),
    *made(
        f"{APPS}/deployments",
        workload("e"),
        {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    ),
    *made(f"{APPS}/replicasets", workload("r", "ReplicaSet", replicas=2)),
    *made(f"{APPS}/statefulsets", workload("s", "StatefulSet", serviceName="x")),
    get(f"{APPS}/statefulsets/s").keeping(uid="metadata.uid"),
    *made(
        f"{APPS}/daemonsets",
        workload("d", "DaemonSet"),
        {"currentNumberScheduled": 1, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 1},
    ),
    *made(
        f"{APPS}/controllerrevisions",
        named(
            "c",
            "ControllerRevision",
            "apps/v1",
            data={"a": 1},
            revision=3,
            metadata={
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "${uid}", "controller": True}
                ]
            },
        ),
    ),
    *made(f"{HOME}/podtemplates", named("t", "PodTemplate", template=workload("x")["spec"]["template"])),
)

NETWORK_SHOWN = sequence(
    "tables: services, slices, policies",
    *made(SERVICES, service("s", selector={"a": "b", "c": "d"})),
    *made(SERVICES, service("h", clusterIP="None", ports=[])),
    *made(
        SERVICES,
        service("n", type="NodePort", ports=[{"port": 80, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}]),
    ),
    *made(SERVICES, service("l", type="LoadBalancer", externalIPs=["1.2.3.4"])),
    *made(
        SERVICES,
        service("m", type="LoadBalancer"),
        {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "h.io"}]}},
    ),
    *made(SERVICES, service("x", type="ExternalName", externalName="a.b", ports=[])),
    *made(
        SLICES,
        named(
            "e",
            "EndpointSlice",
            "discovery.k8s.io/v1",
            addressType="IPv4",
            ports=[{"port": 1, "name": "a"}, {"port": 2, "name": "b"}, {"name": "c"}, {"port": 4, "name": "d"}],
            endpoints=[{"addresses": [f"10.9.9.{n}"]} for n in range(1, 6)],
        ),
    ),
    *made(SLICES, named("f", "EndpointSlice", "discovery.k8s.io/v1", addressType="FQDN", endpoints=[])),
    *made(
        f"{HOME}/endpoints",
        named(
            "e",
            "Endpoints",
            subsets=[
                {
                    "addresses": [{"ip": "10.9.9.1"}, {"ip": "10.9.9.2"}],
                    "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}],
                }
            ],
        ),
    ),
    *made(f"{HOME}/endpoints", named("f", "Endpoints")),
    *made(
        POLICIES, named("n", "NetworkPolicy", "networking.k8s.io/v1", spec={"podSelector": {"matchLabels": {"a": "b"}}})
    ),
    *made(POLICIES, named("o", "NetworkPolicy", "networking.k8s.io/v1", spec={"podSelector": {}})),
)

REST_SHOWN = sequence(
    "tables: the other kinds",
    *made(MAPS, named("m", data={"a": "b"}, binaryData={"c": "ZA=="})),
    *made(f"{HOME}/secrets", named("s", "Secret", data={"a": "ZA=="}, type="x.io/y")),
    *made(f"{HOME}/serviceaccounts", named("a", "ServiceAccount", secrets=[{"name": "x"}])),
    *made(LEASES, named("l", "Lease", "coordination.k8s.io/v1", spec={"holderIdentity": "h"})),
    *made(LEASES, named("k", "Lease", "coordination.k8s.io/v1")),
    *made(
        f"{HOME}/events",
        named(
            "e",
            "Event",
            reason="R",
            type="Warning",
            message=" said ",
            count=4,
            source={"component": "c", "host": "h"},
            firstTimestamp="2026-01-01T00:00:00Z",
            lastTimestamp="2026-01-02T00:00:00Z",
            involvedObject={"namespace": "${ns}", "kind": "Pod", "name": "p", "fieldPath": "spec.x"},
        ),
    ),
    *shown(NEWER_EVENTS, "e"),
    *made(f"{HOME}/events", named("bare", "Event", involvedObject={"namespace": "${ns}"})),
    *made(
        f"{CORE}/nodes",
        named(
            "${ns}-n", "Node", metadata={"labels": {"node-role.kubernetes.io/worker": ""}}, spec={"unschedulable": True}
        ),
    ),
    *made(
        f"{CORE}/nodes",
        named("${ns}-o", "Node"),
        {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "1.1.1.1"}],
            "nodeInfo": {
                "kubeletVersion": "v1",
                "osImage": "os",
                "kernelVersion": "k",
                "containerRuntimeVersion": "c",
                "architecture": "",
                "bootID": "",
                "kubeProxyVersion": "",
                "machineID": "",
                "operatingSystem": "",
                "systemUUID": "",
            },
        },
    ),
    delete(f"{CORE}/nodes/${{ns}}-n", unseen=True),
    delete(f"{CORE}/nodes/${{ns}}-o", unseen=True),
    *shown(f"{CORE}/namespaces", "${ns}"),
    get(f"{CRDS}?limit=1&fieldSelector=metadata.name=none", TABLE),
    post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}).accepting(TABLE),
)

TABLES = sequence(
    "tables: what may be asked of them",
    post(MAPS, named("m")),
    get(f"{MAPS}/m?includeObject=None", TABLE),
    get(f"{MAPS}/m?includeObject=Metadata", TABLE),
    get(f"{MAPS}/m?includeObject=Object", TABLE),
    get(f"{MAPS}/m?includeObject=Perhaps", TABLE),
    get(f"{MAPS}/m", TABLE.replace("v=v1", "v=v1beta1")),
    get(f"{MAPS}/m", TABLE.replace("v=v1", "v=v2")),
    get(f"{MAPS}/m", TABLE.replace("Table", "Chair")),
    get(f"{MAPS}/m", f"{TABLE.replace('Table', 'Chair')},application/json"),
    get(f"{MAPS}/m", f"{TABLE},application/json"),
    get(f"{MAPS}/m", TABLE.replace("json", "yaml")),
    get(f"{MAPS}/none", TABLE),
    get(f"{MAPS}?limit=1", TABLE),
    post(MAPS, named("n")).accepting(TABLE),
    put(f"{MAPS}/n", named("n", data={"a": "b"})).accepting(TABLE),
    patch(f"{MAPS}/n", {"data": {"c": "d"}}).accepting(TABLE),
    delete(f"{MAPS}/n").accepting(TABLE),
    post(PODS, pod("p")).accepting(TABLE),
    delete(f"{PODS}/p").accepting(TABLE),
    post(PODS, pod("p")).accepting(TABLE),
)

PARTIALLY = sequence(
    "metadata alone",
    post(MAPS, named("m", data={"a": "b"}, metadata={"labels": {"c": "d"}})),
    get(f"{MAPS}/m", PARTIAL),
    get(f"{MAPS}/m", PARTIALS),
    get(f"{MAPS}?labelSelector=c", PARTIALS),
    get(f"{MAPS}?labelSelector=c", PARTIAL),
    get(f"{MAPS}?labelSelector=c&limit=1", PARTIALS),
    get(f"{MAPS}/m", PARTIAL.replace("v=v1", "v=v1beta1")),
    get(f"{MAPS}/m", PARTIAL.replace("json", "yaml")),
    patch(f"{MAPS}/m", {"metadata": {"labels": {"e": "f"}}}).accepting(PARTIAL),
    delete(f"{MAPS}/m").accepting(PARTIAL),
    post(PODS, pod("p")).accepting(PARTIAL),
    delete(f"{PODS}/p").accepting(PARTIAL),
)

ACCEPTED = sequence(
    "media types of answers",
    post(MAPS, named("m", data={"a": "b"})),
    *(
        get(f"{MAPS}/m", accept)
        for accept in (
            *("*/*", "application/*", "application/json", YAML, "text/plain", "text/html,*/*;q=0.1", CBOR),
            *("application/json;q=0.1", "application/json;charset=utf-8", f"{PROTOBUF},application/json"),
            *("application/json;stream=watch", "nonsense", ",", "application/json;as=", "application/json;pretty=1"),
            *("application/yaml, application/json", "text/plain, application/json", "application/x-yaml"),
        )
    ),
    get(f"{MAPS}/none", "text/plain"),
    get(f"{MAPS}/none", CBOR),
    get(f"{CORE}/nonsense", "text/plain"),
    post(MAPS, named("n")).accepting("text/plain"),
    get(f"{MAPS}/n"),
    delete(f"{MAPS}/m").accepting("text/plain"),
    get(f"{MAPS}/m"),
    get(f"{MAPS}/m?pretty=1"),
    Step("HEAD", f"{MAPS}/m"),
    Step("OPTIONS", f"{MAPS}/m"),
    Step("TRACE", f"{MAPS}/m"),
    Step("NONSENSE", f"{MAPS}/m"),
    Step("POST", f"{MAPS}/m/x/y", "{}"),
)

SEQUENCES: tuple[Sequence, ...] = (
    PODS_SHOWN,
    WORKLOADS_SHOWN,
    NETWORK_SHOWN,
    REST_SHOWN,
    TABLES,
    PARTIALLY,
    ACCEPTED,
)
