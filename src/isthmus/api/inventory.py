"""The Cluster Inventory API: what a hub says of its clusters, and how a consumer reaches them (KEP-4322, KEP-5313)."""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, field

from isthmus.api.meta import Conditions, Object, Wire
from isthmus.api.scheme import Resource

GROUP: Final = "multicluster.x-k8s.io"

MANAGER_LABEL: Final = "x-k8s.io/cluster-manager"
CONTROL_PLANE_HEALTHY: Final = "ControlPlaneHealthy"
JOINED: Final = "Joined"

EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
ARGS_EXTENSION: Final = "clusterprofiles.multicluster.x-k8s.io/exec/additional-args"
ENV_EXTENSION: Final = "clusterprofiles.multicluster.x-k8s.io/exec/additional-envs"

DECISION_KEY_LABEL: Final = "multicluster.x-k8s.io/decision-key"
DECISION_INDEX_LABEL: Final = "multicluster.x-k8s.io/decision-index"
PLACEMENT_KEY_LABEL: Final = "multicluster.x-k8s.io/placement-key"
MAX_DECISIONS: Final = 100

# Access providers, by the names under which the SIG's plugins are known.
READER: Final = "secretreader"
KUBECONFIG_READER: Final = "kubeconfig-secretreader"
MAX_VALUE: Final = 1024


def _by(key: str) -> dict[str, object]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class ClusterManager(Wire):
    """Who writes the profile."""

    name: str


class ClusterProfileSpec(Wire):
    """Whose the profile is, and what people call the cluster."""

    cluster_manager: Annotated[
        ClusterManager,
        Meta(
            extra_json_schema={
                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "ClusterManager is immutable"}]
            }
        ),
    ]
    display_name: str = ""


class ClusterVersion(Wire):
    """What the cluster runs."""

    kubernetes: str = ""


class Property(Wire):
    """One property of the cluster, and when it was observed there."""

    name: Annotated[str, Meta(min_length=1, max_length=253)]
    value: Annotated[str, Meta(min_length=1, max_length=MAX_VALUE)]
    last_observed_time: datetime | None = None


class Extension(Wire):
    """What a plugin or its runner is told; an object by the schema, which one in memory need not obey."""

    name: str
    extension: Annotated[
        object, Meta(extra_json_schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    ]


class AccessCluster(Wire, rename="kebab"):
    """Where the API server is, as a kubeconfig says it."""

    server: str
    certificate_authority_data: Annotated[str, Meta(extra_json_schema={"format": "byte"})] = ""
    certificate_authority: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    proxy_url: str = ""
    disable_compression: bool = False
    extensions: tuple[Extension, ...] = ()


class AccessProvider(Wire):
    """One way to reach the cluster, by name."""

    name: str
    cluster: AccessCluster | None = None


AccessProviders = Annotated[tuple[AccessProvider, ...], Meta(extra_json_schema=_by("name"))]


class ClusterProfileStatus(Wire):
    """What the cluster is like, how it does, and how to reach it."""

    conditions: Conditions = ()
    version: ClusterVersion | None = None
    properties: Annotated[tuple[Property, ...], Meta(extra_json_schema=_by("name"))] = ()
    access_providers: AccessProviders = ()
    credential_providers: AccessProviders = ()


class ClusterProfile(Object, kw_only=True):
    """multicluster.x-k8s.io ClusterProfile: one cluster of an inventory."""

    spec: ClusterProfileSpec
    status: ClusterProfileStatus | None = None


class ClusterProfileReference(Wire):
    """Which profile; in the decision's own namespace unless one is named."""

    name: str
    namespace: str = ""


class Decision(Wire):
    """One chosen cluster, and why."""

    cluster_profile_ref: ClusterProfileReference
    reason: str = ""


class PlacementDecision(Object, kw_only=True):
    """multicluster.x-k8s.io PlacementDecision: clusters that a scheduler chose, or one slice of them."""

    decisions: Annotated[tuple[Decision, ...], Meta(min_length=0, max_length=MAX_DECISIONS)]
    scheduler_name: str = ""


CLUSTER_PROFILES = Resource(GROUP, "v1alpha1", "clusterprofiles", "ClusterProfile", ClusterProfile)
PLACEMENT_DECISIONS = Resource(GROUP, "v1alpha1", "placementdecisions", "PlacementDecision", PlacementDecision)


class EnvVar(Wire):
    """One environment variable of a plugin."""

    name: str
    value: str = ""


class ExecConfig(Wire):
    """The program that yields credentials, as `user.exec` of a kubeconfig."""

    api_version: str
    command: str
    args: tuple[str, ...] | None = None
    env: tuple[EnvVar, ...] | None = None
    provide_cluster_info: bool = False
    install_hint: str = ""
    interactive_mode: str = ""


class Provider(Wire):
    """One entry of a provider file."""

    name: str
    exec_config: ExecConfig | None = None
    args_policy: str = field(name="profileSourcedCLIArgsPolicy", default="")
    env_policy: str = field(name="profileSourcedEnvVarsPolicy", default="")


class ProviderFile(Wire):
    """What a consumer is given: its ways to get credentials, in order of preference (catalogue 4.1)."""

    providers: tuple[Provider, ...] | None = None
