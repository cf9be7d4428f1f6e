"""What all tests share: the kinds of cluster they run on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.real.build import binary
from tests.real.controlplane import ControlPlane
from tests.real.fixtures import node_clusters

__all__ = ["node_clusters"]

pytest_plugins = ("tests.traceability", "tests.workers")

# Whether an example is right does not depend on how fast the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

EMBEDDED, CONTROL_PLANE, NODES = "embedded", "control plane", "nodes"


@pytest.fixture(params=[EMBEDDED, CONTROL_PLANE])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of cluster; the real one only where `make real` has built it."""
    if request.param == CONTROL_PLANE and not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    return str(request.param)


class Planes:
    """Real control planes, started when first asked for and kept for all tests of a session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._planes: list[ControlPlane] = []

    def get(self, index: int) -> ControlPlane:
        """The control plane of that index; all lower ones are there too."""
        while len(self._planes) <= index:
            number = len(self._planes) + 1
            plane = ControlPlane(self._folder / str(number), number=number)
            self._planes.append(plane)
            plane.start()
        return self._planes[index]

    def stop(self) -> None:
        """Stop them all."""
        for plane in self._planes:
            plane.stop()


@pytest.fixture(scope="session")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planes]:
    """Real control planes by index, shared by all tests: whoever uses one leaves it as it was."""
    planes = Planes(tmp_path_factory.mktemp("planes"))
    yield planes
    planes.stop()
