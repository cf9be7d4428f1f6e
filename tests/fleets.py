"""Fleets for tests, on embedded servers and on real control planes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from isthmus.api.core import SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import MEMBERS_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.kube.client import Client
from isthmus.kube.tokens import bound_to, request_token
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
    """`async with make_fleet(["east", "west"]) as fleet`: on either kind of cluster, at a `hub` that runs already."""

    def host(name: str, number: int) -> Host:
        if kind != REAL:
            return EmbeddedHost(name, tmp_path, number)
        planes: Planes = request.getfixturevalue("planes")
        return RealHost(planes.get(number).kubeconfig)

    def make(clusters: Sequence[str] = ("east", "west"), pace: Pace = USUAL, hub: Path | None = None) -> Fleet:
        def of(name: str, number: int) -> Host:
            return RealHost(hub) if hub and name == "hub" else host(name, number)

        return Fleet(tmp_path, clusters, pace=pace, hosts=of)

    return make


@pytest.fixture
def embedded_fleet(tmp_path: Path) -> MakeFleet:
    """The same, for tests that stop and empty API servers: on embedded ones only."""

    def make(clusters: Sequence[str] = ("east", "west"), pace: Pace = USUAL) -> Fleet:
        return Fleet(tmp_path, clusters, pace=pace)

    return make


async def by_token(client: Client, kubeconfig: Path, member: str) -> str:
    """A hub's kubeconfig, by a token of that member instead, bound to a Secret as tokens of members are."""
    here = MEMBERS_NAMESPACE
    named: Manifest = {"apiVersion": "v1", "metadata": {"name": member}}
    await client.create(SERVICE_ACCOUNTS, named | {"kind": SERVICE_ACCOUNTS.kind}, namespace=here)
    secret = await client.create(SECRETS, named | {"kind": SECRETS.kind}, namespace=here)
    bound = bound_to(SECRETS.kind, member, secret["metadata"]["uid"])
    issued = await request_token(client, member, namespace=here, seconds=3600, bound=bound)
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": issued.token}} for each in config["users"]]
    return yaml.safe_dump(config)
