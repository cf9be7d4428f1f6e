"""What every process of ours looks like in a cluster: a Deployment without privileges, and what goes with it.

Kubernetes, "Pod Security Standards", profile `restricted`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from isthmus import __version__
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CRDS, NAMESPACES, SERVICE_ACCOUNTS, SERVICES
from isthmus.api.crds import RELEASE_LABEL
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid
from isthmus.install.definitions import OUR_RELEASE_LABEL
from isthmus.install.kinds import DISRUPTION_BUDGETS, PRIORITY_CLASSES, in_order, whole

IMAGE: Final = f"localhost/isthmus:{__version__}"
# Which installation an object belongs to, HUB or MEMBER: both may live in one cluster, and go one by one.
INSTALLATION_LABEL: Final = "isthmus.dev/installation"
HUB, MEMBER, SHARED = "hub", "member", "shared"
PRIORITY: Final = "isthmus"
# By kind too: a set may be called like either.
_SHARED: Final = {(NAMESPACES.kind, SYSTEM_NAMESPACE), (PRIORITY_CLASSES.kind, PRIORITY)}
METRICS_PORT: Final = 8080
NAME_LABEL: Final = "app.kubernetes.io/name"
# The image's own user.
_USER: Final = 65532
_POD_SECURITY: Final[Manifest] = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: Final[Manifest] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# Python's TLS reads keys from files only: they stand here for a moment, in memory.
_SCRATCH: Final[Manifest] = {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
_SCRATCH_MOUNT: Final[Manifest] = {"name": _SCRATCH["name"], "mountPath": "/tmp"}  # noqa: S108  # the pod's own
_NODES: Final[Manifest] = {"kubernetes.io/os": "linux"}


@dataclass(frozen=True)
class Tuning:
    """How an installation's processes run: pods of each, what they log, and what they ask for in place of the usual.

    `resources` are a container's, by the name of the Deployment. Raises Invalid for less than one pod.
    """

    replicas: int = 2
    log_level: str = "INFO"
    resources: Mapping[str, Manifest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise Invalid(f"{self.replicas} replicas run nothing: use 1 or more, 2 to lose no answer on upgrades")


AS_USUAL: Final = Tuning()


@dataclass(frozen=True)
class Workload:
    """One process of ours: for which set, its arguments, what it asks for, further ports, files out of a Secret.

    What answers others goes on for `lame` seconds after it was told to end: they hear of that later than it does.
    Of what is there once for each set, Deployment and budget are named after that, too; the account is one for all.
    """

    name: str
    image: str
    args: tuple[str, ...]
    cluster_set: str = ""
    each_set: bool = False
    cpu: str = "20m"
    # Measured: 55 to 65 MB resident with a hundred imports (`python -m bench nodes`).
    memory: str = "80Mi"
    lame: int = 0
    ports: tuple[Manifest, ...] = ()
    # Where a Secret of that name is mounted.
    secrets: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    tuning: Tuning = AS_USUAL

    @property
    def resources(self) -> Manifest:
        """What its container asks for."""
        usual: Manifest = {"requests": {"cpu": self.cpu, "memory": self.memory}}
        return self.tuning.resources.get(self.name, usual)

    @property
    def labels(self) -> Manifest:
        """By which its pods are known."""
        return {NAME_LABEL: self.name} | ({SET_LABEL: self.cluster_set} if self.each_set else {})


def made(kind: Resource[Manifest], name: str, namespace: str = "", **rest: object) -> Manifest:
    """An object of that kind with nothing but its name, and `rest`."""
    metadata: Manifest = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **rest}


def namespace(name: str, labels: Mapping[str, str]) -> Manifest:
    """A namespace in which only unprivileged pods may run."""
    manifest = made(whole(NAMESPACES), name)
    security = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    manifest["metadata"]["labels"] = security | dict(labels)
    return manifest


def priority() -> Manifest:
    """What is asked for names and addresses by all pods is not evicted for one of them."""
    text = "Isthmus: other workloads rely on its DNS names and endpoints."
    return made(PRIORITY_CLASSES, PRIORITY, value=100_000_000, description=text)


def workload(wanted: Workload) -> tuple[Manifest, ...]:
    """Its account, its Deployment, and a budget that keeps one pod of two while nodes are drained."""
    name = f"{wanted.name}-{wanted.cluster_set}" if wanted.each_set else wanted.name
    selector = {"matchLabels": wanted.labels}
    spec = {
        "replicas": wanted.tuning.replicas,
        "revisionHistoryLimit": 3,
        "selector": selector,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": wanted.labels}
            | ({"annotations": dict(wanted.annotations)} if wanted.annotations else {}),
            "spec": _pod(wanted, selector),
        },
    }
    budget = {"maxUnavailable": 1, "selector": selector}
    deployment = made(whole(DEPLOYMENTS), name, SYSTEM_NAMESPACE, spec=spec)
    if wanted.cluster_set:
        deployment["metadata"]["labels"] = {SET_LABEL: wanted.cluster_set}
    return (
        made(SERVICE_ACCOUNTS, wanted.name, SYSTEM_NAMESPACE),
        deployment,
        made(DISRUPTION_BUDGETS, name, SYSTEM_NAMESPACE, spec=budget),
    )


def once(account: str, image: str, args: Sequence[str]) -> Manifest:
    """The pod of a Job: it runs one command as that account, with the workloads' lack of privileges."""
    container = {
        "name": "isthmus",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(args),
        "resources": {"requests": {"cpu": "20m", "memory": "80Mi"}},
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [_SCRATCH_MOUNT],
    }
    return {
        "serviceAccountName": account,
        "restartPolicy": "Never",
        "nodeSelector": _NODES,
        "securityContext": _POD_SECURITY,
        "containers": [container],
        "volumes": [_SCRATCH],
    }


def service(name: str, ports: Iterable[Manifest]) -> Manifest:
    """A Service in front of a workload, in every IP family that the cluster has."""
    spec = {
        "selector": {NAME_LABEL: name},
        "ipFamilyPolicy": "PreferDualStack",
        "ports": list(ports),
    }
    return made(whole(SERVICES), name, SYSTEM_NAMESPACE, spec=spec)


def labelled(manifest: Manifest, labels: Mapping[str, str]) -> Manifest:
    """The same object with further labels."""
    metadata = manifest["metadata"]
    return manifest | {"metadata": metadata | {"labels": dict(metadata.get("labels", {})) | dict(labels)}}


def installation(part: str, manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """The same, in order, each labelled as ours and as of this installation."""
    ours = []
    for manifest in manifests:
        whose = SHARED if (manifest["kind"], manifest["metadata"]["name"]) in _SHARED else part
        labels = {INSTALLATION_LABEL: whose}
        # A Service with our marker would be one that stands in for an import.
        if manifest["kind"] != SERVICES.kind:
            labels[MARKER_LABEL] = MANAGED_BY
        if manifest["kind"] == CRDS.kind and RELEASE_LABEL not in manifest["metadata"].get("labels", {}):
            labels[OUR_RELEASE_LABEL] = f"v{__version__}"
        ours.append(labelled(manifest, labels))
    return in_order(tuple(ours))


def _pod(wanted: Workload, selector: Manifest) -> Manifest:
    spread = [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    return {
        "serviceAccountName": wanted.name,
        "priorityClassName": PRIORITY,
        "terminationGracePeriodSeconds": 10 + wanted.lame,
        "nodeSelector": _NODES,
        "topologySpreadConstraints": spread,
        "securityContext": _POD_SECURITY,
        "containers": [_container(wanted)],
        "volumes": [
            _SCRATCH,
            *({"name": name, "secret": {"secretName": name, "defaultMode": 0o440}} for name in sorted(wanted.secrets)),
        ],
    }


def _container(wanted: Workload) -> Manifest:
    def probe(path: str, **rest: int) -> Manifest:
        return {"httpGet": {"path": path, "port": "metrics"}, **rest}

    return {
        **({"lifecycle": {"preStop": {"sleep": {"seconds": wanted.lame}}}} if wanted.lame else {}),
        "name": wanted.name.removeprefix("isthmus-"),
        "image": wanted.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            *wanted.args,
            f"--metrics=:{METRICS_PORT}",
            "--log-format=json",
            f"--log-level={wanted.tuning.log_level}",
        ],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}, *wanted.ports],
        "startupProbe": probe("/livez", periodSeconds=1, failureThreshold=60),
        "livenessProbe": probe("/livez", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
        # A busy node is no reason to ask nobody: with the last ready pod its Service refuses everything.
        "readinessProbe": probe("/readyz", periodSeconds=2, timeoutSeconds=5, failureThreshold=3),
        "resources": wanted.resources,
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [
            _SCRATCH_MOUNT,
            *({"name": name, "mountPath": path, "readOnly": True} for name, path in sorted(wanted.secrets.items())),
        ],
    }
