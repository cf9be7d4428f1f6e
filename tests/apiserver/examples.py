"""Built-in objects, good and bad: what one server says of them, the other has to say too."""

from collections.abc import Iterator

from isthmus.api.scheme import Manifest

PLURALS = {"Endpoints": "endpoints", "NetworkPolicy": "networkpolicies"}
CLUSTER_WIDE = {"Namespace", "Node"}
LONG = "a" * 64


def path(obj: Manifest, namespace: str) -> str:
    """Where objects like this are made."""
    version, kind = obj["apiVersion"], obj["kind"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = "" if kind in CLUSTER_WIDE else f"/namespaces/{namespace}"
    return f"{base}{inside}/{PLURALS.get(kind, kind.lower() + 's')}"


def service(**spec: object) -> Manifest:
    """A Service with one port."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}


def named(name: object, kind: str = "ConfigMap", **metadata: object) -> Manifest:
    """An object with no more than metadata."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}


def pod(**spec: object) -> Manifest:
    """A pod with one container."""
    containers = [{"name": "c", "image": "i"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}


def container(**fields: object) -> Manifest:
    """A pod whose one container has these fields."""
    return pod(containers=[{"name": "c", "image": "i", **fields}])


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def workload(kind: str = "Deployment", **spec: object) -> Manifest:
    """A Deployment, or another kind that runs pods."""
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "d"}, "spec": whole}


def template(labels: Manifest, **spec: object) -> Manifest:
    """A Deployment whose template has these labels and this spec."""
    containers = [{"name": "c", "image": "i"}]
    return workload(template={"metadata": {"labels": labels}, "spec": {"containers": containers, **spec}})


def endpoint_slice(kind: str = "IPv4", **fields: object) -> Manifest:
    """An EndpointSlice with one endpoint and one port."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "e"},
        "addressType": kind,
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"port": 80}],
        **fields,
    }


def endpoint(addresses: list[str], kind: str = "IPv4", **fields: object) -> Manifest:
    """An EndpointSlice whose one endpoint has these fields."""
    return endpoint_slice(kind, endpoints=[{"addresses": addresses, **fields}])


def lease(**spec: object) -> Manifest:
    """A Lease."""
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": spec}


def event(**fields: object) -> Manifest:
    """An Event."""
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, **fields}


def policy(**spec: object) -> Manifest:
    """A NetworkPolicy."""
    version = "networking.k8s.io/v1"
    return {"apiVersion": version, "kind": "NetworkPolicy", "metadata": {"name": "n"}, "spec": spec}


def services() -> Iterator[Manifest]:
    """Services."""
    for port in (
        *({"port": 70000}, {"port": 0}, {"port": 80, "name": "A_"}, {"port": 80, "protocol": "FOO"}),
        *({"port": 80, "targetPort": each} for each in (70000, "9-", "waytoolongportname", "http")),
        *({"port": 80, "nodePort": 30000}, {"port": 80, "appProtocol": "a b"}, {"port": "x"}),
    ):
        yield service(ports=[port])
    yield service(ports=[])
    yield service(ports=[{"port": 80}, {"port": 81}])
    yield service(ports=[{"port": 80, "name": "a"}, {"port": 81, "name": "a"}])
    yield service(ports=[{"port": 80, "name": "a"}, {"port": 80, "name": "b"}])
    yield service(ports=[{"port": 80, "name": "a"}, {"port": 80, "protocol": "UDP", "name": "b"}])
    for field in ("type", "sessionAffinity", "internalTrafficPolicy", "ipFamilyPolicy", "trafficDistribution"):
        yield service(**{field: "Foo"})
    yield service(sessionAffinity="ClientIP")
    yield service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 0}})
    yield service(type="ExternalName")
    yield service(type="ExternalName", externalName="a_b", ports=[])
    yield service(type="ExternalName", externalName="a.b")
    yield service(selector={"a b": "c"})
    yield service(externalIPs=["127.0.0.1"])
    yield service(externalTrafficPolicy="Local")
    yield service(clusterIP="None", type="NodePort")
    yield service(clusterIP="None")
    yield service(clusterIP="None", ports=[])
    yield service(healthCheckNodePort=3)
    yield service(publishNotReadyAddresses="x")
    yield service(trafficDistribution="PreferSameZone")
    yield service()
    yield named("x", "Service")
    for name in ("S_x", "1x", LONG):
        yield {**service(), "metadata": {"name": name}}


def metadata() -> Iterator[Manifest]:
    """Names, labels, annotations, owners, finalizers."""
    for name in ("A", "", "a" * 254, "a..b", "a.b"):
        yield named(name)
    for kind in ("Namespace", "Secret", "ServiceAccount"):
        yield named("A", kind)
    yield named("a.b", "Namespace")
    for labels in ({"a b": "x"}, {"a": "x y"}, {"a": LONG}, {"/a": "x"}, {"x/": "y"}, {"A/b/c": "y"}, {LONG: "x"}):
        yield named("x", labels=labels)
    yield named("x", labels={"a": "b", "test.dev/a": ""})
    yield named("x", annotations={"a b": ""})
    yield named("x", annotations={"a": "x" * 300_000})
    yield named("x", finalizers=["foo bar"])
    yield named("x", finalizers=["test.dev/a"])
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u", "controller": True}
    yield named("x", ownerReferences=[{}])
    yield named("x", ownerReferences=[owner])
    yield named("x", ownerReferences=[owner, {**owner, "name": "y", "uid": "v"}])
    yield named("x", ownerReferences=[{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "u"}])


def stored_data() -> Iterator[Manifest]:
    """ConfigMaps and Secrets."""
    for data in ({"a b": "x"}, {"a": 3}, {"..": "x"}, {"..a": "x"}, {"a": "x" * 1_100_000}, {}, {"a": None}):
        yield {**named("x"), "data": data}
    yield {**named("x"), "binaryData": {"x": "%%%"}}
    yield {**named("x"), "data": {"a": "1"}, "binaryData": {"a": "MQ=="}}
    for data in ({"a": "%%%"}, {"a b": ""}, {"a": "Yg=="}):
        yield {**named("x", "Secret"), "data": data}
    yield {**named("x", "Secret"), "data": {"a": "Yg=="}, "stringData": {"a": "c", "z": ""}}
    for kind in ("kubernetes.io/tls", "kubernetes.io/ssh-auth", "kubernetes.io/service-account-token"):
        yield {**named("x", "Secret"), "type": kind}


def pods() -> Iterator[Manifest]:
    """Pods."""
    fields: Manifest
    yield pod()
    yield pod(containers=[])
    yield pod(containers=None)
    yield pod(containers=[{"name": "c", "image": "i"}, {"name": "c", "image": "i"}])
    yield pod(initContainers=[{"name": "c", "image": "i"}])
    yield pod(initContainers=[{"name": "i", "image": "i"}])
    for fields in (
        *({"restartPolicy": "x"}, {"dnsPolicy": "None"}, {"terminationGracePeriodSeconds": -1}),
        *({"activeDeadlineSeconds": 0}, {"nodeName": "A_"}, {"hostname": "A."}, {"nodeSelector": {"a b": "c"}}),
        *({"serviceAccountName": "A"}, {"serviceAccountName": "a"}, {"hostAliases": [{"ip": "x"}]}, {"foo": 1}),
        *({"volumes": [{"name": "A", "emptyDir": {}}]}, {"volumes": [{"name": "a"}, {"name": "a"}]}),
        *({"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]}, {"volumes": [{"name": "a"}]}),
        *({"volumes": [{"name": "a", "hostPath": {"path": "/x"}}, {"name": "b", "secret": {"secretName": "x"}}]},),
    ):
        yield pod(**fields)
    yield pod(hostNetwork=True, containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}])


def containers() -> Iterator[Manifest]:
    """Containers."""
    fields: Manifest
    request = {"port": 80}
    for fields in (
        *({"name": ""}, {"name": "A"}, {"image": ""}, {"image": " x"}, {"image": "x:latest"}, {"image": "h:5000/x"}),
        *({"image": "x:1"}, {"image": "x@sha256:" + LONG}, {"imagePullPolicy": "x"}),
        *({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}, {"volumeMounts": [{"name": "", "mountPath": ""}]}),
        *({"livenessProbe": {}}, {"livenessProbe": {"httpGet": {"port": 0}}}, {"readinessProbe": {"exec": {}}}),
        *({"livenessProbe": {"httpGet": request, "exec": {"command": ["x"]}}}, {"startupProbe": {"grpc": request}}),
        *({"livenessProbe": {"httpGet": request, "periodSeconds": -1}}, {"livenessProbe": {"httpGet": request}}),
        *({"livenessProbe": {"tcpSocket": request, "successThreshold": 2}},),
        *({"lifecycle": {"preStop": {"httpGet": request}}}, {"resources": {"limits": {"cpu": "x"}}}),
        *({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}, {"resources": {"limits": {"cpu": "-1"}}}),
        *({"resources": {"limits": {"cpu": "1500m", "memory": "1024Mi"}}}, {"resources": {"limits": {"cpu": 0.5}}}),
    ):
        yield container(**fields)
    for port in ({}, {"containerPort": 70000}, {"name": "A"}, {"protocol": "x"}, {"hostPort": 80}):
        yield container(ports=[{**({} if port == {} else {"containerPort": 80}), **port}])
    yield container(ports=[{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}])
    field = {"fieldRef": {"fieldPath": "metadata.name"}}
    for variable in (
        *({"name": ""}, {"name": "a=b"}, {"name": "a"}, {"name": "a", "value": ""}, {"name": "a", "valueFrom": field}),
        *({"name": "a", "value": "x", "valueFrom": field}, {"name": "a", "valueFrom": {}}),
        {"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "foo"}}},
    ):
        yield container(env=[variable])


def workloads() -> Iterator[Manifest]:
    """Deployments, ReplicaSets, StatefulSets."""
    specs: list[Manifest] = [
        *({"selector": None}, {"selector": {}}, {"selector": {"matchLabels": {"x": "y"}}}, {"template": {}}),
        *({"replicas": -1}, {"replicas": "x"}, {"replicas": 0}, {"minReadySeconds": -1}, {"minReadySeconds": 700}),
        *({"progressDeadlineSeconds": 0}, {"revisionHistoryLimit": -1}, {}),
        *({"strategy": {"type": "x"}}, {"strategy": {"type": "Recreate"}}),
        *({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},),
        *({"strategy": {"rollingUpdate": {"maxSurge": each, "maxUnavailable": 0}}} for each in (0, 1, "x", "30%")),
        *({"selector": {"matchExpressions": [{"key": "a", "operator": each}]}} for each in ("Foo", "In", "Exists")),
        {"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}},
    ]
    for fields in specs:
        yield workload(**fields)
    yield template({"a": "b"}, restartPolicy="Never")
    yield template({"a": "b"}, containers=[{"name": "c", "image": ""}])
    yield template({"a": "b c"})
    for fields in ({}, {"selector": {"matchLabels": {"x": "y"}}}, {"replicas": -1}, {"selector": {}}):
        yield workload("ReplicaSet", **fields)
    for fields in (
        *(
            {},
            {"selector": {"matchLabels": {"x": "y"}}},
            {"podManagementPolicy": "x"},
            {"updateStrategy": {"type": "x"}},
        ),
        *({"replicas": -1}, {"serviceName": "A_"}, {"updateStrategy": {"type": "OnDelete"}}),
    ):
        yield workload("StatefulSet", **fields)


def slices() -> Iterator[Manifest]:
    """EndpointSlices."""
    fields: Manifest
    for address in ("127.0.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "x", "::1", "010.0.0.1"):
        yield endpoint([address])
    for address in ("::1", "fe80::1", "ff02::1", "::", "10.0.0.1", "::ffff:10.0.0.1", "FD00::1", "fd00::1"):
        yield endpoint([address], "IPv6")
    for address in ("a_b", "ex.com"):
        yield endpoint([address], "FQDN")
    for kind in ("Foo", ""):
        yield endpoint_slice(kind)
    yield endpoint([])
    yield endpoint(["10.0.0.1"] * 2)
    yield endpoint([f"10.0.0.{number}" for number in range(101)])
    zone = {"name": "a"}
    for fields in (
        *({"hostname": "A."}, {"nodeName": "A_"}, {"zone": "a b"}, {"conditions": {"ready": True}}),
        *({"hints": {"forZones": [zone] * 2}}, {"hints": {"forZones": [zone] * 9}}, {"hints": {"forZones": [zone]}}),
    ):
        yield endpoint(["10.0.0.1"], **fields)
    ports: object
    for ports in (
        *([{"port": 80}, {"port": 81}], [{"port": 0}], [{"name": "A_"}], [{"protocol": "x"}], [{}], None),
        *([{"appProtocol": "a b"}], [{"name": f"a{number}", "port": number} for number in range(1, 102)]),
    ):
        yield endpoint_slice(ports=ports)
    for endpoints in ([{"addresses": ["10.0.0.1"]}] * 1001, None):
        yield endpoint_slice(endpoints=endpoints)


def others() -> Iterator[Manifest]:
    """Leases, Events, Endpoints, policies and the rest."""
    yield lease(leaseDurationSeconds=0)
    yield lease(leaseTransitions=-1)
    yield lease(renewTime="x")
    yield lease(renewTime="2026-01-01T00:00:00Z")
    yield lease(renewTime="2026-01-01T01:00:00.123456+01:00")
    yield event()
    yield event(involvedObject={"namespace": "foo"})
    yield {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "l"},
        "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}],
    }
    yield policy()
    yield policy(podSelector={}, ingress=[{"ports": [{"port": 1}]}], egress=[{}])
    yield policy(podSelector={}, ingress=[{"ports": [{"port": 0}]}])
    yield named("x", "ServiceAccount")
    yield named("A_", "Node")
    yield {**named("n", "Node"), "spec": {"podCIDR": "x"}}
    revision = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "t"}}
    yield {**revision, "revision": 1, "data": {"a": 1}}
    yield {**revision, "revision": -1}


def every() -> Iterator[Manifest]:
    """All of them."""
    for group in (services, metadata, stored_data, pods, containers, workloads, slices, others):
        yield from group()
