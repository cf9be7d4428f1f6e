"""The scale subresource: one number of a workload, in a form that all workloads share."""

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import Kind, Scale
from isthmus.apiserver.schema import Cause, invalid

DEFAULT = Scale()
KIND = ("autoscaling", "v1", "Scale")


def scale_of(kind: Kind, manifest: Manifest) -> Manifest:
    """The Scale that shows `manifest`."""
    where = kind.scale or DEFAULT
    metadata = manifest["metadata"]
    replicas = _get(manifest, where.replicas)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Manifest = {"replicas": _get(manifest, where.status_replicas) or 0}
    selector = _get(manifest, where.selector) if kind.custom else _selector_text(manifest)
    if selector:
        status["selector"] = selector
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {part: metadata[part] for part in kept if part in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scaled(kind: Kind, manifest: Manifest, scale: Manifest) -> Manifest:
    """`manifest` with as many replicas as `scale` says. Raises Refused (422)."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        told = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = Cause("spec.replicas", "FieldValueInvalid", told)
        raise invalid("Scale", "autoscaling", manifest["metadata"]["name"], [cause])
    where = (kind.scale or DEFAULT).replicas.split(".")
    inner = manifest
    for step in where[:-1]:
        inner = inner.setdefault(step, {})
    inner[where[-1]] = replicas
    if version := (scale.get("metadata") or {}).get("resourceVersion"):
        manifest["metadata"]["resourceVersion"] = version
    return manifest


def _get(manifest: Manifest, path: str) -> object:
    found: object = manifest
    for step in path.split(".") if path else ():
        found = found.get(step) if isinstance(found, dict) else None
    return found if path else None


def _selector_text(manifest: Manifest) -> str:
    selector = (manifest.get("spec") or {}).get("selector") or {}
    return ",".join(f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items()))
