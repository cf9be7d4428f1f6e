"""Manifests that tests apply: a Service with endpoints written by hand, an export.

The Service has no selector and the endpoints another manager than Kubernetes' own: where its controller runs,
it would replace them by those of pods, of which there are none.
"""

from collections.abc import Mapping, Sequence

from isthmus.api.core import MANAGED_BY_LABEL, SERVICE_NAME_LABEL
from isthmus.api.mcs import SERVICE_EXPORTS
from isthmus.api.scheme import Manifest

BY_HAND = "test"
HTTP: Manifest = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}


def service(namespace: str, name: str, *, ports: Sequence[Manifest] = (HTTP,), **spec: object) -> Manifest:
    """A Service; `spec` holds further fields by their Kubernetes names."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": list(ports), **spec},
    }


def endpoints(
    namespace: str,
    service_name: str,
    addresses: Sequence[str],
    *,
    ports: Mapping[str, int] | None = None,
    index: int = 0,
) -> Manifest:
    """One EndpointSlice of a Service: addresses of one family, and target ports by name."""
    family = "IPv6" if addresses and ":" in addresses[0] else "IPv4"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": f"{service_name}-{family.lower()}-{index}",
            "labels": {SERVICE_NAME_LABEL: service_name, MANAGED_BY_LABEL: BY_HAND},
        },
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in (ports or {"http": 8080}).items()],
    }


def service_export(namespace: str, name: str, **spec: object) -> Manifest:
    """A ServiceExport; `spec` may hold exportedLabels and exportedAnnotations."""
    return {
        "apiVersion": SERVICE_EXPORTS.api_version,
        "kind": SERVICE_EXPORTS.kind,
        "metadata": {"namespace": namespace, "name": name},
        **({"spec": spec} if spec else {}),
    }
