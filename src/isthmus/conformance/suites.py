"""Which suites there are."""

from typing import Final, TypeVar

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.conformance.about import kind, properties
from isthmus.conformance.declared import Check, checks_of
from isthmus.conformance.mcs import (
    changing,
    conflicts,
    connectivity,
    dns,
    endpoint_slice,
    endpoints,
    life,
    names,
    rights,
    service_import,
    traffic,
)

T = TypeVar("T")


def as_written(resource: Resource[T]) -> Resource[Manifest]:
    """The same kind, read whole."""
    return Resource(resource.group, resource.version, resource.plural, resource.kind, dict, resource.namespaced)


SUITES: Final[dict[str, tuple[Check, ...]]] = {
    "mcs": checks_of(
        service_import, endpoint_slice, connectivity, dns, traffic, endpoints, names, life, changing, conflicts, rights
    ),
    "about": checks_of(kind, properties),
}
# The kinds without which a suite cannot begin.
NEEDED: Final[dict[str, tuple[Resource[Manifest], ...]]] = {
    "mcs": (as_written(SERVICE_EXPORTS), as_written(SERVICE_IMPORTS)),
    "about": (as_written(CLUSTER_PROPERTIES),),
}
