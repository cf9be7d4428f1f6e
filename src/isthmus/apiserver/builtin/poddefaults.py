"""What Kubernetes fills in for pods and the templates of pods."""

from collections.abc import Iterator

from isthmus.api.scheme import Manifest

DEFAULT_MODE = 0o644
TOLERATED_SECONDS = 300


def default(obj: Manifest, **values: object) -> None:
    """Set, in place, what is missing or empty text."""
    for name, value in values.items():
        if obj.get(name) is None or obj[name] == "":
            obj[name] = value


def fill_pod(pod: Manifest) -> None:
    """A pod's own defaults, beyond those of templates."""
    spec = pod.setdefault("spec", {})
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **resources.get("requests", {})}
    fill_pod_spec(spec)
    default(spec, enableServiceLinks=True)


def admit_pod(pod: Manifest) -> None:
    """What admission and the pod's strategy add, and nobody comes to own."""
    spec = pod.setdefault("spec", {})
    default(spec, priority=0, preemptionPolicy="PreemptLowerPriority")
    if spec["terminationGracePeriodSeconds"] < 0:
        # What once meant "at once" to some kubelets.
        spec["terminationGracePeriodSeconds"] = 1
    _tolerate_short_failures(spec)
    default(pod.setdefault("status", {}), phase="Pending", qosClass=_quality(spec))
    if spec.get("schedulingGates"):
        message = "Scheduling is blocked due to non-empty scheduling gates"
        gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": message}
        pod["status"]["conditions"] = [gated | {"lastProbeTime": None, "lastTransitionTime": None}]


def _tolerate_short_failures(spec: Manifest) -> None:
    # Admission plugin DefaultTolerationSeconds.
    tolerations = spec.setdefault("tolerations", [])
    for taint in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(each, taint) for each in tolerations):
            tolerations.append(
                {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATED_SECONDS}
            )


def _tolerates(toleration: Manifest, taint: str) -> bool:
    return toleration.get("key", "") in {"", taint} and toleration.get("effect", "") in {"", "NoExecute"}


def _quality(spec: Manifest) -> str:
    """The quality of service class: which pods go first when memory runs out."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    if not any(each.get("limits") or each.get("requests") for each in resources):
        return "BestEffort"
    sure = all(
        {"cpu", "memory"} <= (each.get("limits") or {}).keys() and each["limits"] == each.get("requests")
        for each in resources
    )
    return "Guaranteed" if sure else "Burstable"


def fill_pod_spec(spec: Manifest) -> None:
    """Defaults of a pod's spec, in pods and templates alike."""
    default(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
    )
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccountName"):
        # The old name of the field is kept in step.
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for volume in spec.get("volumes") or ():
        _fill_volume(volume)
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            _fill_container(container, host_network=bool(spec.get("hostNetwork")))


def _fill_container(container: Manifest, *, host_network: bool) -> None:
    default(
        container,
        imagePullPolicy=_pull_policy(container.get("image", "")),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports") or ():
        default(port, protocol="TCP")
        if host_network and not port.get("hostPort"):
            port["hostPort"] = port.get("containerPort")
    for variable in container.get("env") or ():
        if field := (variable.get("valueFrom") or {}).get("fieldRef"):
            default(field, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            _fill_probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _fill_request(hook.get("httpGet"))


def _pull_policy(image: str) -> str:
    name = image.rpartition("/")[2]
    if "@" in name:
        return "IfNotPresent"
    tag = name.partition(":")[2] or "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def _fill_probe(probe: Manifest) -> None:
    default(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _fill_request(probe.get("httpGet"))
    if isinstance(probe.get("grpc"), dict):
        probe["grpc"].setdefault("service", "")


def _fill_request(request: Manifest | None) -> None:
    if isinstance(request, dict):
        default(request, path="/", scheme="HTTP")


def _fill_volume(volume: Manifest) -> None:
    if volume.keys() <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(source), dict):
            default(volume[source], defaultMode=DEFAULT_MODE)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    for field in _field_references(volume):
        default(field, apiVersion="v1")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if isinstance(source.get("serviceAccountToken"), dict):
            default(source["serviceAccountToken"], expirationSeconds=3600)


def _field_references(volume: Manifest) -> Iterator[Manifest]:
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            if isinstance(item.get("fieldRef"), dict):
                yield item["fieldRef"]
