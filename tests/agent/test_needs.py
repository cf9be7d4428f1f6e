"""What an agent needs of its cluster."""

import contextlib
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from isthmus.agent.needs import BESIDE, missing, served_properties
from isthmus.api.core import CRDS, ENDPOINT_SLICES, MANAGED_BY_LABEL
from isthmus.api.crds import ABOUT_CRDS, MCS_CRDS
from isthmus.api.isthmus import MANAGED_BY, SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS, SOURCE_CLUSTER_LABEL
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import NotFound
from isthmus.hub.bootstrap import bootstrap_member
from isthmus.kube.client import WriteOptions
from isthmus.testing import objects
from isthmus.testing.cluster import EmbeddedHost, TestCluster
from isthmus.testing.waiting import eventually


async def test_all_that_is_missing_is_said_at_once_and_no_more_than_that(tmp_path: Path) -> None:
    async with TestCluster("bare", EmbeddedHost("bare", tmp_path, 1)) as bare:
        said = await missing(bare.client)
        for word in ("serviceexports", "serviceimports", "clusterproperties", SYSTEM_NAMESPACE):
            assert word in said
        await bare.namespace(SYSTEM_NAMESPACE)
        for crd in MCS_CRDS:
            await bare.client.create(CRDS, crd)

        async def only_about() -> bool:
            return await missing(bare.client) == "install the CRDs of clusterproperties.about.k8s.io"

        await eventually(only_about)


async def test_an_older_about_api_will_do(tmp_path: Path) -> None:
    async with TestCluster("old", EmbeddedHost("old", tmp_path, 1)) as old:
        crd = copy.deepcopy(ABOUT_CRDS[0])
        versions = [each for each in crd["spec"]["versions"] if each["name"] == "v1alpha1"]
        versions[0]["storage"] = True
        crd["spec"]["versions"] = versions
        await old.client.create(CRDS, crd)

        async def served() -> str:
            kind = await served_properties(old.client)
            return kind.version if kind is not None else ""

        assert await eventually(served) == "v1alpha1"


def slice_managed_by(manager: str) -> Manifest:
    piece = objects.endpoints("default", "shop", ["10.66.0.6"])
    labels = {IMPORT_NAME_LABEL: "shop", SOURCE_CLUSTER_LABEL: "far", MANAGED_BY_LABEL: manager}
    piece["metadata"] |= {"name": "shop-far", "labels": labels}
    return piece


def hand_made_import() -> Manifest:
    return {
        "apiVersion": SERVICE_IMPORTS.api_version,
        "kind": SERVICE_IMPORTS.kind,
        "metadata": {"name": "theirs", "namespace": "default"},
        "spec": {"type": "Headless", "ports": [{"port": 7}]},
    }


@pytest.fixture
async def member(cluster: TestCluster) -> AsyncIterator[TestCluster]:
    """A cluster that an agent could work in; nothing is left in its namespace default."""
    await bootstrap_member(cluster.client)
    yield cluster
    for kind, name in ((ENDPOINT_SLICES, "shop-far"), (SERVICE_IMPORTS, "theirs"), (SERVICE_EXPORTS, "theirs")):
        with contextlib.suppress(NotFound):
            await cluster.client.delete(cast("Resource[object]", kind), name, namespace="default")


async def test_nothing_is_missing_where_only_we_have_been(member: TestCluster) -> None:
    await member.client.create(ENDPOINT_SLICES, slice_managed_by(MANAGED_BY), namespace="default")
    await member.client.create(SERVICE_IMPORTS, hand_made_import(), namespace="default")
    assert await missing(member.client) == ""


async def test_slices_that_another_implementation_manages_keep_us_from_starting(member: TestCluster) -> None:
    await member.client.create(ENDPOINT_SLICES, slice_managed_by("other-mcs.example.com"), namespace="default")
    said = await missing(member.client)
    assert "other-mcs.example.com" in said
    assert BESIDE in said
    assert await missing(member.client, beside=True) == ""


async def test_an_import_with_a_status_of_anothers_keeps_us_from_starting(member: TestCluster) -> None:
    await member.client.create(SERVICE_IMPORTS, hand_made_import(), namespace="default")
    status = {"status": {"clusters": [{"cluster": "far"}]}}
    other = WriteOptions(manager="other-operator")
    await member.client.merge_patch(
        SERVICE_IMPORTS, "theirs", status, namespace="default", subresource="status", options=other
    )
    assert "other-operator" in await missing(member.client)


async def test_an_export_with_a_status_of_anothers_keeps_us_from_starting(member: TestCluster) -> None:
    await member.client.create(SERVICE_EXPORTS, objects.service_export("default", "theirs"), namespace="default")
    assert await missing(member.client) == ""
    condition = {
        "type": "Synced",
        "status": "False",
        "reason": "AwaitingExport",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    await member.client.merge_patch(
        SERVICE_EXPORTS, "theirs", {"status": {"conditions": [condition]}}, namespace="default", subresource="status"
    )
    assert "condition Synced" in await missing(member.client)


async def test_an_import_that_another_has_not_finished_keeps_us_from_starting(member: TestCluster) -> None:
    unfinished = hand_made_import()
    unfinished["metadata"] |= {"finalizers": ["other.example.com/cleanup"]}
    await member.client.create(SERVICE_IMPORTS, unfinished, namespace="default")
    said = await missing(member.client)
    await member.client.merge_patch(SERVICE_IMPORTS, "theirs", {"metadata": {"finalizers": None}}, namespace="default")
    assert "other.example.com/cleanup" in said
