"""The CustomResourceDefinitions as API servers take them: established, and strict about what they say."""

import itertools

import pytest

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.core import CRDS
from isthmus.api.crds import ABOUT_CRDS, HUB_CRDS, MCS_CRDS
from isthmus.api.inventory import CLUSTER_PROFILES, PLACEMENT_DECISIONS
from isthmus.api.isthmus import EXPORTED_ENDPOINTS, EXPORTED_SERVICES, MAX_PORTS, MEMBERS
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.meta import Object
from isthmus.api.scheme import Manifest, Resource, T
from isthmus.errors import Refused
from isthmus.kube.client import WriteOptions
from isthmus.testing.cluster import TestCluster
from isthmus.testing.waiting import eventually

BY_HAND = WriteOptions(manager="test", force=True)


EVERY = (*ABOUT_CRDS, *MCS_CRDS, *HUB_CRDS)
NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
async def namespace(cluster: TestCluster) -> str:
    """A namespace of its own for each test; all CRDs are there, and served."""
    name = f"crds-{next(NUMBERS)}"
    await cluster.namespace(name)
    for crd in EVERY:
        await cluster.client.apply(CRDS, crd, options=BY_HAND)

    async def served() -> bool:
        listed = await cluster.client.list(CRDS)
        ours = [crd for crd in listed.items if crd["spec"]["group"] in GROUPS]
        return len(ours) == len(EVERY) and all(conditions(crd).get("Established") == "True" for crd in ours)

    await eventually(served)
    return name


GROUPS = {"about.k8s.io", "multicluster.x-k8s.io", "isthmus.dev"}


def conditions(crd: Manifest) -> dict[str, str]:
    return {each["type"]: each["status"] for each in (crd.get("status", {}).get("conditions") or [])}


@pytest.mark.requirement("ABOUT-1", "ABOUT-2", "MCS-47")
async def test_every_schema_is_structural_to_a_server(cluster: TestCluster) -> None:
    for crd in (await cluster.client.list(CRDS)).items:
        if crd["spec"]["group"] in GROUPS:
            assert conditions(crd).get("NonStructuralSchema", "False") == "False"
            assert conditions(crd)["NamesAccepted"] == "True"


def named(spec: Manifest | None = None, **rest: object) -> Manifest:
    body: Manifest = {"metadata": {"name": "example"}, **rest}
    return body if spec is None else {**body, "spec": spec}


def whole(resource: Resource[T], manifest: Manifest) -> Manifest:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}


EXPORTED: Manifest = {
    "cluster": "east",
    "namespace": "prod",
    "name": "shop",
    "uid": "u",
    "created": "2026-01-01T00:00:00Z",
    "type": "ClusterSetIP",
}
SLICE: Manifest = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.5"]}]}
CHUNK: Manifest = {"cluster": "e", "namespace": "n", "name": "s", "generation": 1, "index": 0, "slice": SLICE}

TAKEN = [
    pytest.param(CLUSTER_PROPERTIES, named({"value": "x"}), id="a property"),
    pytest.param(CLUSTER_PROPERTIES, named(), id="a property without spec"),
    pytest.param(SERVICE_EXPORTS, named(), id="a bare export"),
    pytest.param(SERVICE_IMPORTS, named({"type": "Headless", "ports": []}), id="a bare import"),
    pytest.param(EXPORTED_SERVICES, named({**EXPORTED, "slices": [SLICE]}), id="an exported service"),
    pytest.param(EXPORTED_ENDPOINTS, named(CHUNK), id="a chunk"),
    pytest.param(MEMBERS, named({"id": "east", "set": "demo"}), id="a member"),
]
REFUSED = [
    pytest.param(CLUSTER_PROPERTIES, named({"value": ""}), "spec.value", id="an empty property"),
    pytest.param(SERVICE_IMPORTS, named({"type": "Other", "ports": []}), "spec.type", id="an unknown type"),
    pytest.param(SERVICE_IMPORTS, named({"type": "Headless"}), "spec.ports", id="an import without ports"),
    pytest.param(
        SERVICE_IMPORTS, named({"type": "Headless", "ports": [], "ips": ["a", "b", "c"]}), "spec.ips", id="3 addresses"
    ),
    pytest.param(
        EXPORTED_SERVICES,
        named({**EXPORTED, "ports": [{"port": 1}] * (MAX_PORTS + 1)}),
        "spec.ports",
        id="too many ports",
    ),
    pytest.param(EXPORTED_SERVICES, named({**EXPORTED, "created": "soon"}), "spec.created", id="no time"),
    pytest.param(EXPORTED_SERVICES, named({**EXPORTED, "name": "x" * 64}), "spec.name", id="a long name"),
    pytest.param(EXPORTED_ENDPOINTS, named({**CHUNK, "index": 1000}), "spec.index", id="a chunk too many"),
    pytest.param(
        MEMBERS, named({"id": "east", "set": "demo", "health": {"state": "Fine"}}), "spec.health.state", id="a verdict"
    ),
]


@pytest.mark.requirement("ABOUT-1", "ABOUT-3")
@pytest.mark.parametrize(("resource", "manifest"), TAKEN)
async def test_what_is_meant_to_be_written_is_taken(
    cluster: TestCluster, namespace: str, resource: Resource[Object], manifest: Manifest
) -> None:
    written = await cluster.client.create(
        resource,
        whole(resource, manifest),
        namespace=namespace,
        options=WriteOptions(manager="test", dry_run=True),
    )
    assert written.metadata.name == "example"


@pytest.mark.requirement("ABOUT-4", "MCS-47")
@pytest.mark.parametrize(("resource", "manifest", "field"), REFUSED)
async def test_what_breaks_the_schema_is_refused_by_its_field(
    cluster: TestCluster, namespace: str, resource: Resource[Object], manifest: Manifest, field: str
) -> None:
    with pytest.raises(Refused, match=field.replace(".", r"\.")):
        await cluster.client.create(
            resource,
            whole(resource, manifest),
            namespace=namespace,
            options=WriteOptions(manager="test", dry_run=True),
        )


@pytest.mark.requirement("ABOUT-7", "MCS-47")
async def test_old_readers_are_served(cluster: TestCluster, namespace: str) -> None:
    await cluster.client.create(SERVICE_EXPORTS, whole(SERVICE_EXPORTS, named()), namespace=namespace)
    old = Resource("multicluster.x-k8s.io", "v1alpha1", "serviceexports", "ServiceExport", dict)
    seen = await cluster.client.get(old, "example", namespace=namespace)
    assert seen["apiVersion"] == "multicluster.x-k8s.io/v1alpha1"


@pytest.mark.requirement("ABOUT-6")
async def test_status_is_written_on_its_own(cluster: TestCluster, namespace: str) -> None:
    await cluster.client.create(
        SERVICE_IMPORTS,
        whole(
            SERVICE_IMPORTS,
            named({"type": "Headless", "ports": []}, status={"clusters": [{"cluster": "forged"}]}),
        ),
        namespace=namespace,
    )
    seen = await cluster.client.get(SERVICE_IMPORTS, "example", namespace=namespace)
    assert seen.status is None or seen.status.clusters == ()
    status = {"status": {"clusters": [{"cluster": "east"}], "endpointSliceObjects": "Present"}}
    after = await cluster.client.merge_patch(
        SERVICE_IMPORTS, "example", status, namespace=namespace, subresource="status"
    )
    assert after.status
    assert [each.cluster for each in after.status.clusters] == ["east"]


@pytest.mark.requirement("INV-15", "INV-19", "CRED-6")
async def test_profiles_are_taken_as_upstream_writes_them_and_no_otherwise(
    cluster: TestCluster, namespace: str
) -> None:
    spec = {"clusterManager": {"name": "m"}}
    await cluster.client.apply(CLUSTER_PROFILES, named(spec), namespace=namespace, options=BY_HAND)
    condition = {
        "type": "ControlPlaneHealthy",
        "status": "True",
        "reason": "Healthy",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    args = "clusterprofiles.multicluster.x-k8s.io/exec/additional-args"

    def provider(extension: object) -> Manifest:
        cluster = {"server": "https://x", "extensions": [{"name": args, "extension": extension}]}
        return {"accessProviders": [{"name": "a", "cluster": cluster}]}

    good: Manifest = {
        "version": {"kubernetes": "v1.36.3"},
        "conditions": [condition],
        "properties": [{"name": "a", "value": "ä" * 1024}],
        **provider({"args": ["x"]}),
    }
    patch = {"status": good}
    await cluster.client.merge_patch(CLUSTER_PROFILES, "example", patch, namespace=namespace, subresource="status")
    found = await cluster.client.get(CLUSTER_PROFILES, "example", namespace=namespace)
    assert found.status is not None
    assert found.status.access_providers[0].cluster is not None
    assert found.status.access_providers[0].cluster.extensions[0].extension == {"args": ["x"]}
    for bad in (
        {"properties": [{"name": "a", "value": "x" * 1025}]},
        {"properties": [{"name": "a", "value": ""}]},
        {"conditions": [condition | {"reason": ""}]},
        {"conditions": [condition | {"status": "true"}]},
        provider(["x"]),
    ):
        with pytest.raises(Refused):
            await cluster.client.merge_patch(
                CLUSTER_PROFILES, "example", {"status": bad}, namespace=namespace, subresource="status"
            )


async def test_a_decision_has_at_most_a_hundred_clusters(cluster: TestCluster, namespace: str) -> None:
    chosen = [{"clusterProfileRef": {"name": f"c{number}"}} for number in range(100)]
    manifest = named(decisions=chosen)
    made = await cluster.client.apply(PLACEMENT_DECISIONS, manifest, namespace=namespace, options=BY_HAND)
    assert len(made.decisions) == 100
    more = [*chosen, {"clusterProfileRef": {"name": "one-more"}}]
    with pytest.raises(Refused):
        await cluster.client.merge_patch(PLACEMENT_DECISIONS, "example", {"decisions": more}, namespace=namespace)
    await cluster.client.merge_patch(PLACEMENT_DECISIONS, "example", {"decisions": []}, namespace=namespace)
    await cluster.client.delete(PLACEMENT_DECISIONS, "example", namespace=namespace)
