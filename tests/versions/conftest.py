"""Control planes of another version, or without what newer ones have; each is started once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.testing.fleet import Fleet
from tests.conftest import Planes
from tests.fleets import RealHost
from tests.real.build import OLDER, VERSION, binary
from tests.real.controlplane import ControlPlane

USUAL, OLD, WITHOUT_STREAMS = "usual", "older", "without streaming lists"
KINDS = {
    OLD: (OLDER, ()),
    WITHOUT_STREAMS: (VERSION, ("--feature-gates=WatchList=false,WatchListClient=false",)),
}
# Of service ranges; those of the usual ones count from 1.
NUMBERS = {OLD: 20, WITHOUT_STREAMS: 21}
MakeMixed = Callable[[str, dict[str, str]], Fleet]


@pytest.fixture(scope="package")
def unusual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ControlPlane]]:
    """A control plane by its kind."""
    running: dict[str, ControlPlane] = {}

    def get(kind: str) -> ControlPlane:
        version, args = KINDS[kind]
        if not binary(version).exists():
            pytest.skip(f"no control plane {version} here. Type: make real")
        if kind not in running:
            folder = tmp_path_factory.mktemp(f"plane-{NUMBERS[kind]}")
            plane = ControlPlane(folder, number=NUMBERS[kind], server_args=args, version=version)
            running[kind] = plane
            plane.start()
        return running[kind]

    yield get
    for plane in running.values():
        plane.stop()


@pytest.fixture
def make_mixed(planes: Planes, unusual: Callable[[str], ControlPlane], tmp_path: Path) -> MakeMixed:
    """`async with make_mixed(hub_kind, {"east": kind, "west": kind}) as fleet`."""

    def make(hub: str, members: dict[str, str]) -> Fleet:
        def host(name: str, number: int) -> RealHost:
            kind = hub if name == "hub" else members[name]
            plane = planes.get(number) if kind == USUAL else unusual(kind)
            return RealHost(plane.kubeconfig)

        return Fleet(tmp_path, list(members), hosts=host)

    if not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    return make
