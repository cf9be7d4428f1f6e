"""What a Pod may ask for and this node cannot give: refused, with the reason and what to do instead."""

from collections.abc import Iterator
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.local.node.podspec import Container, Pod

VOLUME_SOURCES: Final = frozenset({"emptyDir", "configMap", "secret", "downwardAPI", "projected", "hostPath"})
_PROJECTIONS: Final = frozenset({"configMap", "secret", "downwardAPI", "serviceAccountToken"})
_MOST_CONTAINERS = 50


def refuse_unsupported(manifest: Manifest, pod: Pod) -> None:
    """Raise Invalid with the first thing that this node cannot do for the pod, and what to do instead."""
    for problem in _problems(manifest, pod):
        raise Invalid(problem)


def _problems(manifest: Manifest, pod: Pod) -> Iterator[str]:
    spec = pod.spec
    if spec.host_network:
        yield "spec.hostNetwork: an embedded node gives every pod a network of its own; remove the field"
    if len(spec.containers) + len(spec.init_containers) > _MOST_CONTAINERS:
        yield f"spec.containers: an embedded node runs at most {_MOST_CONTAINERS} containers in one pod"
    for volume in manifest["spec"].get("volumes") or ():
        for source in sorted(set(volume) - VOLUME_SOURCES - {"name"}):
            yield _unsupported(f"volume {volume.get('name')!r}", source, VOLUME_SOURCES)
        for projection in (volume.get("projected") or {}).get("sources") or ():
            for source in sorted(set(projection) - _PROJECTIONS):
                yield _unsupported(f"projected volume {volume.get('name')!r}", source, _PROJECTIONS)
    volumes = {volume.name for volume in spec.volumes}
    for container in (*spec.init_containers, *spec.containers):
        for problem in _container_problems(container, volumes):
            yield f"container {container.name}: {problem}"


def _container_problems(container: Container, volumes: set[str]) -> Iterator[str]:
    if not container.command and not container.args:
        yield (
            f"image {container.image!r} is not pulled here: an embedded node runs programs of this machine. "
            'Set `command`, for example ["python3", "-m", "http.server", "80"]'
        )
    if container.volume_devices:
        yield "volumeDevices: an embedded node has no block devices"
    for mount in container.volume_mounts:
        if mount.name not in volumes:
            yield f"volumeMounts: there is no volume {mount.name!r} in spec.volumes"
        if mount.sub_path_expr:
            yield "volumeMounts: subPathExpr is not supported on an embedded node; use subPath"
        if ".." in (*mount.sub_path.split("/"), *mount.mount_path.split("/")) or mount.sub_path.startswith("/"):
            yield f"volumeMounts: {mount.mount_path} must not lead outside"
        if not mount.mount_path.startswith("/"):
            yield f"volumeMounts: {mount.mount_path} is not absolute"
    for probe in (container.startup_probe, container.readiness_probe, container.liveness_probe):
        if probe and probe.grpc is not None:
            yield "grpc probes are not supported on an embedded node; use httpGet, tcpSocket or exec"
    for variable in container.env:
        if variable.value_from and variable.value_from.resource_field_ref is not None:
            yield f"env {variable.name}: resourceFieldRef is not supported on an embedded node, it limits nothing"


def _unsupported(where: str, source: str, known: frozenset[str]) -> str:
    return f"{where}: {source} is not supported on an embedded node; it has {', '.join(sorted(known))}"
