"""An informer on a real control plane whose parts die, freeze, and come back as they were long ago."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.api import core
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.informer import Informer
from tests.kube.scripted import soon
from tests.kube.test_client import endpoint_slice
from tests.kube.test_informer import names, running
from tests.real.build import binary
from tests.real.controlplane import ControlPlane

pytestmark = pytest.mark.skipif(not binary().exists(), reason="no real control plane here. Type: make real")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """One of its own, without a controller manager: it will not be left as it was."""
    plane = ControlPlane(tmp_path, number=9)
    try:
        plane.start_etcd()
        plane.start_server()
        yield plane
    finally:
        plane.stop()


async def test_a_real_server_killed_and_set_back(plane: ControlPlane, tmp_path: Path) -> None:
    config = load_kubeconfig([plane.kubeconfig])
    async with Client(config) as client:
        await client.create(core.ENDPOINT_SLICES, endpoint_slice("old", "10.1.0.1"), namespace="default")
        informer = Informer(client, core.ENDPOINT_SLICES, namespace="default")
        async with running(informer) as changes:
            await informer.wait_synced()
            assert names(informer) == ["old"]

            # Killed: nothing is lost, and what happened meanwhile is told.
            plane.kill("kube-apiserver")
            await soon(lambda: informer.failing_since is not None)
            assert names(informer) == ["old"]
            await asyncio.to_thread(plane.start_server)
            await client.create(core.ENDPOINT_SLICES, endpoint_slice("kept", "10.1.0.2"), namespace="default")
            await soon(lambda: names(informer) == ["kept", "old"])
            assert not any(change.after is None for change in changes)
            assert informer.failing_since is None

            # Set back: etcd as it is now comes back after more was written.
            plane.stop()
            shutil.copytree(tmp_path / "etcd", tmp_path / "backup")
            await asyncio.to_thread(plane.start_etcd)
            await asyncio.to_thread(plane.start_server)
            for n in range(30):
                lost = endpoint_slice(f"lost-{n}", "10.1.0.3")
                await client.create(core.ENDPOINT_SLICES, lost, namespace="default")
            await soon(lambda: len(informer.store) == 32)
            plane.stop()
            shutil.rmtree(tmp_path / "etcd")
            (tmp_path / "backup").rename(tmp_path / "etcd")
            await asyncio.to_thread(plane.start_etcd)
            await asyncio.to_thread(plane.start_server)
            await soon(lambda: names(informer) == ["kept", "old"], seconds=40)
            went = [change for change in changes if change.after is None]
            assert len(went) == 30
            assert not any(change.seen for change in went)
