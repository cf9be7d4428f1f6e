"""Which versions of this room's kinds a cluster serves, and what its definitions of them are too old for (MCS-47)."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from isthmus.api.core import CRDS
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS, ServiceExport, ServiceImport
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import NotFound
from isthmus.kube.client import Client

T = TypeVar("T")

# v1alpha1 differs from v1beta1 in nothing but its name (catalogue 1.5); installations before 0.5 have only that.
VERSIONS = (SERVICE_IMPORTS.version, "v1alpha1")
# Fields that came after the first definition that is still in use (0.2): in the spec, and in the status.
_NEWER = {
    "spec": {
        "ipFamilies": "ip_families",
        "internalTrafficPolicy": "internal_traffic_policy",
        "trafficDistribution": "traffic_distribution",
    },
    "status": {"conditions": "conditions", "endpointSliceObjects": "endpoint_slice_objects"},
}


@dataclass(frozen=True)
class Kinds:
    """ServiceExport and ServiceImport as the cluster serves them; `unknown` fields of the latter it would not keep."""

    exports: Resource[ServiceExport] = SERVICE_EXPORTS
    imports: Resource[ServiceImport] = SERVICE_IMPORTS
    unknown: frozenset[str] = frozenset()


KNOWN = Kinds()


async def served(client: Client, kind: Resource[T], versions: Iterable[str] = VERSIONS) -> Resource[T] | None:
    """The kind in the first of these versions that the cluster serves, or none."""
    for version in versions:
        candidate = dataclasses.replace(kind, version=version)
        if await client.serves(candidate):
            return candidate
    return None


async def served_kinds(client: Client) -> Kinds:
    """The kinds as served here, else as we know them: who cannot be asked for is found missing elsewhere."""
    exports = await served(client, SERVICE_EXPORTS) or SERVICE_EXPORTS
    imports = await served(client, SERVICE_IMPORTS) or SERVICE_IMPORTS
    try:
        crd = await client.get(CRDS, f"{imports.plural}.{imports.group}")
    except NotFound:
        return Kinds(exports, imports)
    return Kinds(exports, imports, unknown_fields(crd, imports.version))


def unknown_fields(crd: Manifest, version: str) -> frozenset[str]:
    """The fields, by our names, that this definition does not have in that version."""
    schemas = [each.get("schema", {}) for each in crd["spec"]["versions"] if each["name"] == version]
    properties: Manifest = schemas[0].get("openAPIV3Schema", {}).get("properties", {}) if schemas else {}
    return frozenset(
        name
        for part, fields in _NEWER.items()
        for field, name in fields.items()
        if field not in properties.get(part, {}).get("properties", {})
    )
