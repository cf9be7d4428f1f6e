"""What the checks make in a cluster: backends and their Service, as upstream's suite has them, and a pod that asks."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from isthmus.api.scheme import Manifest

HELLO = "hello"
PORT = 42
TCP: Manifest = {"name": "tcp", "port": PORT, "protocol": "TCP"}
UDP: Manifest = {"name": "udp", "port": PORT, "protocol": "UDP"}
MARK = {"app.kubernetes.io/part-of": "mcs-conformance"}
_PROGRAMS = files("isthmus.conformance.programs")


def namespace(name: str) -> Manifest:
    """A namespace in which backends may bind port 42, whatever the cluster's default is."""
    labels = {**MARK, "pod-security.kubernetes.io/enforce": "baseline"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def service(name: str = HELLO, **spec: object) -> Manifest:
    """The Service of upstream's suite (catalogue 11.1), with these fields of its spec instead; None removes one."""
    whole = {
        "selector": {"app": name},
        "ports": [TCP, UDP],
        "ipFamilyPolicy": "PreferDualStack",
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
        **spec,
    }
    dummy = {"dummy-svc": "dummy"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": dummy, "annotations": dummy},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def plain(name: str = HELLO, **spec: object) -> Manifest:
    """The same without session affinity, so that each connection may reach another backend."""
    return service(name, **{"sessionAffinity": "None", "sessionAffinityConfig": None, **spec})


def export(name: str = HELLO, spec: Manifest | None = None) -> Manifest:
    """The ServiceExport of upstream's suite."""
    dummy = {"dummy-svcexport": "dummy"}
    manifest: Manifest = {
        "apiVersion": "multicluster.x-k8s.io/v1beta1",
        "kind": "ServiceExport",
        "metadata": {"name": name, "labels": dummy, "annotations": dummy},
    }
    return manifest | ({"spec": spec} if spec else {})


def deployment(image: str, *, replicas: int = 1, name: str = HELLO, ports: Sequence[int] = (PORT,)) -> Manifest:
    """Backends of the Service."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": backend(image, ports)},
        },
    }


def stateful_set(image: str, *, replicas: int) -> Manifest:
    """Backends with names of their own."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": f"{HELLO}-ss"},
        "spec": {
            "replicas": replicas,
            "serviceName": HELLO,
            "selector": {"matchLabels": {"app": HELLO}},
            "template": {"metadata": {"labels": {"app": HELLO}}, "spec": backend(image, (PORT,))},
        },
    }


def backend_pod(image: str, name: str, labels: Mapping[str, str], **spec: object) -> Manifest:
    """One backend alone."""
    whole = {**backend(image, (PORT,)), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels)}, "spec": whole}


def backend(image: str, ports: Sequence[int]) -> Manifest:
    """The spec of a pod that answers `pod ip <address>` on these ports, over TCP and UDP."""
    environment: list[Manifest] = [
        {"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        {"name": "PORTS", "value": ",".join(str(port) for port in ports)},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
    ]
    return _pod(image, "backend.py", environment, readiness=ports[0])


def asking_pod(image: str, name: str) -> Manifest:
    """The pod in which `probe.py` is run; the program waits in a variable, so that each command stays short."""
    probe = (_PROGRAMS / "probe.py").read_text()
    spec = _pod(image, "", [{"name": "PROBE", "value": probe.replace("$(", "$$(")}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def asking(questions: str) -> tuple[str, ...]:
    """The command that asks them in that pod."""
    return "python3", "-c", "import os; exec(os.environ['PROBE'])", questions


def _pod(image: str, program: str, environment: Sequence[Manifest], readiness: int = 0) -> Manifest:
    source = (_PROGRAMS / program).read_text() if program else "import signal; signal.pause()"
    container: Manifest = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", source.replace("$(", "$$(")],
        "env": list(environment),
        # Port 42 takes root or this capability; nothing else is needed.
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
    }
    if readiness:
        container["readinessProbe"] = {"tcpSocket": {"port": readiness}, "periodSeconds": 1}
    # Process 1 of a container ignores SIGTERM: without this, namespaces would take half a minute to go.
    return {"terminationGracePeriodSeconds": 0, "containers": [container]}
