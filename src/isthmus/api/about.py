"""The About API: what a cluster says of itself (KEP-2149)."""

from typing import Annotated

from msgspec import Meta

from isthmus.api.meta import Object, Wire
from isthmus.api.scheme import Resource

CLUSTER_ID = "cluster.clusterset.k8s.io"
CLUSTER_SET = "clusterset.k8s.io"


class ClusterPropertySpec(Wire):
    """The value; its name is the object's."""

    value: Annotated[str, Meta(min_length=1)]


class ClusterPropertyStatus(Wire):
    """Holds nothing (ABOUT-6)."""


class ClusterProperty(Object):
    """about.k8s.io ClusterProperty: one property of this cluster (ABOUT-1 to ABOUT-3)."""

    spec: ClusterPropertySpec | None = None
    status: ClusterPropertyStatus | None = None


CLUSTER_PROPERTIES = Resource(
    "about.k8s.io", "v1beta1", "clusterproperties", "ClusterProperty", ClusterProperty, namespaced=False
)
