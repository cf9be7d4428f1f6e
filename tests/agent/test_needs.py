"""What an agent needs of its cluster."""

import copy
from pathlib import Path

from isthmus.agent.needs import missing, served_properties
from isthmus.api.core import CRDS
from isthmus.api.crds import ABOUT_CRDS, MCS_CRDS
from isthmus.api.isthmus import SYSTEM_NAMESPACE
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
