"""Fleets for tests, on embedded servers and on real control planes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isthmus.testing.cluster import EmbeddedHost, Host
from isthmus.testing.fleet import USUAL, Fleet, Pace

if TYPE_CHECKING:
    from tests.conftest import Planes

REAL = "control plane"
MakeFleet = Callable[..., Fleet]


class RealHost:
    """A real control plane of the session: it is never stopped, and serves other tests afterwards."""

    shared = True

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    async def start(self) -> None:
        """It runs already."""

    async def stop(self) -> None:
        """It goes on."""


@pytest.fixture
def make_fleet(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> MakeFleet:
    """`async with make_fleet(["east", "west"]) as fleet`: on either kind of cluster."""

    def host(name: str, number: int) -> Host:
        if kind != REAL:
            return EmbeddedHost(name, tmp_path, number)
        planes: Planes = request.getfixturevalue("planes")
        return RealHost(planes.get(number).kubeconfig)

    def make(clusters: Sequence[str] = ("east", "west"), pace: Pace = USUAL) -> Fleet:
        return Fleet(tmp_path, clusters, pace=pace, hosts=host)

    return make


@pytest.fixture
def embedded_fleet(tmp_path: Path) -> MakeFleet:
    """The same, for tests that stop and empty API servers: on embedded ones only."""

    def make(clusters: Sequence[str] = ("east", "west"), pace: Pace = USUAL) -> Fleet:
        return Fleet(tmp_path, clusters, pace=pace)

    return make
