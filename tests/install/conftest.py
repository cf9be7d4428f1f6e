"""Two API servers of each kind, with all roles and policies: they would refuse what other tests do by hand.

The first is hub and member at once, the second a member.
"""

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS
from isthmus.api.core import CONFIG_MAPS, NAMESPACES
from isthmus.api.scheme import Manifest
from isthmus.apiserver.pki import PKI
from isthmus.errors import IsthmusError, Refused
from isthmus.hub.bootstrap import NewMember, bootstrap_hub, bootstrap_member
from isthmus.install.admission import CREATE, Check, Scope, policy
from isthmus.install.manifests import apply
from isthmus.install.policies import hub_policies, member_policies
from isthmus.install.roles import hub_roles, inventory_role, member_user
from isthmus.kube.client import Client, WriteOptions
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.conftest import CONTROL_PLANE
from tests.real.controlplane import ControlPlane

T = TypeVar("T")

BY_HAND = WriteOptions(manager="test", force=True)
SET, OTHER_SET, TEAM = "set-a", "set-b", "team"
EAST, WEST, NORTH = member_user("east"), member_user("west"), member_user("north")
# People with Kubernetes' own roles: view, edit (in one namespace), admin; and one who may write all our kinds.
VIEWER, EDITOR, ADMIN, POWERFUL = "vera", "eddie", "ada", "paul"
ROOT = "root"

# Policies have effect a moment after they are made, all earlier ones before the last.
_LAST = policy(
    "zz-last",
    Scope("", ("configmaps",), (CREATE,)),
    (Check("object.metadata.name != 'refused'", "policies have effect"),),
)


@dataclass(frozen=True)
class Secured:
    """The planes, and clients of any user."""

    planes: "tuple[ControlPlane | EmbeddedPlane, ControlPlane | EmbeddedPlane]"

    def kubeconfig(self, user: str, plane: int = 0) -> Path:
        """A client certificate; root may do everything."""
        return self.planes[plane].kubeconfig_of(user, ["system:masters"] if user == ROOT else [])

    def client(self, user: str, plane: int = 0) -> Client:
        """A client, to be entered."""
        return Client(load_kubeconfig([self.kubeconfig(user, plane)]))


class EmbeddedPlane:
    """An embedded API server as a process of its own, as long as the session."""

    def __init__(self, folder: Path, *, number: int) -> None:
        self.folder = folder
        self._number = number
        self._process: subprocess.Popen[bytes] | None = None
        self._server = ""
        folder.mkdir(parents=True)

    @property
    def kubeconfig(self) -> Path:
        """An admin's."""
        return self.kubeconfig_of("admin", ["system:masters"])

    def kubeconfig_of(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate for `user` in `groups`."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        if not path.exists():
            config = PKI.load(self.folder / "pki", "c").client_config(self._server, user, groups)
            path.write_text(yaml.safe_dump(config))
        return path

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._server = f"https://127.0.0.1:{listener.getsockname()[1]}"
            config = {
                "name": "c",
                "pki": str(self.folder / "pki"),
                "service_ranges": [f"10.{self._number}.128.0/17", f"fd69:{self._number}:1::/112"],
                "listeners": [listener.fileno()],
                "advertised": [[f"10.0.0.{self._number}", 6443]],
            }
            file = self.folder / "config.json"
            file.write_text(json.dumps(config))
            with (self.folder / "log").open("ab") as log:
                words = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "isthmus.apiserver"]
                self._process = subprocess.Popen(
                    [*words, "--config", str(file)], stderr=log, pass_fds=[listener.fileno()]
                )
        asyncio.run(self._wait())

    async def _wait(self) -> None:
        async def is_ready() -> bool:
            with contextlib.suppress(IsthmusError):
                async with Client(load_kubeconfig([self.kubeconfig])) as client:
                    return bool(await client.raw("GET", "/readyz"))
            return False

        await eventually(is_ready, within=60.0, what="the embedded server is ready")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass
class Kept:
    """What was made secure, by kind, when a test first asked for it."""

    folder: Path
    made: dict[str, Secured] = field(default_factory=dict)

    def get(self, kind: str) -> Secured:
        """The two servers of a kind, prepared."""
        if kind not in self.made:
            plane = ControlPlane if kind == CONTROL_PLANE else EmbeddedPlane
            name = kind.replace(" ", "-")
            self.made[kind] = Secured(
                (plane(self.folder / name / "1", number=1), plane(self.folder / name / "2", number=2))
            )
            for each in self.made[kind].planes:
                each.start()
            asyncio.run(_prepare(self.made[kind]))
        return self.made[kind]


@pytest.fixture(scope="package")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    kept = Kept(tmp_path_factory.mktemp("secured"))
    try:
        yield kept
    finally:
        for secured in kept.made.values():
            for plane in secured.planes:
                plane.stop()


@pytest.fixture
def secured(kept: Kept, kind: str) -> Secured:
    """The two servers of the test's kind."""
    return kept.get(kind)


async def _prepare(secured: Secured) -> None:
    for number in range(2):
        async with secured.client(ROOT, number) as root:
            await bootstrap_member(root)
            if number == 0:
                await bootstrap_hub(root, SET, [NewMember("east"), NewMember("west")])
                await bootstrap_hub(root, OTHER_SET, [NewMember("north")])
                await apply(root, (*hub_roles(SET), inventory_role()))
                await _employ(root)
            await apply(root, (*hub_policies(), *member_policies()))
            await apply(root, _LAST)
            probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "refused"}}
            await _wait_refused(root, probe)


async def _wait_refused(root: Client, probe: Manifest) -> None:
    async def check() -> bool:
        try:
            await root.create(CONFIG_MAPS, probe, namespace="default", options=WriteOptions(dry_run=True))
        except Refused as refused:
            return "policies have effect" in refused.message
        return False

    await eventually(check, within=30.0, what="policies have effect")


async def _employ(root: Client) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}}
    await root.apply(NAMESPACES, namespace, options=BY_HAND)
    everything = {
        "metadata": {"name": "test-powerful"},
        "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": ["*"]}
            for group, resources in (
                ("", ["services", "services/status", "endpoints"]),
                ("discovery.k8s.io", ["endpointslices"]),
                ("multicluster.x-k8s.io", ["*"]),
                ("about.k8s.io", ["*"]),
            )
        ],
    }
    hoarding = {
        "metadata": {"name": "test-collections"},
        "rules": [{"apiGroups": ["isthmus.dev"], "resources": ["*"], "verbs": ["deletecollection"]}],
    }
    for role in (everything, hoarding):
        await root.apply(CLUSTER_ROLES, role, options=BY_HAND)
    for user, role_name in (
        (VIEWER, "view"),
        (ADMIN, "admin"),
        (POWERFUL, "test-powerful"),
        (EAST, "test-collections"),
    ):
        await root.apply(CLUSTER_ROLE_BINDINGS, _binding(user, role_name), options=BY_HAND)
    await root.apply(ROLE_BINDINGS, _binding(EDITOR, "edit"), namespace=TEAM, options=BY_HAND)


def _binding(user: str, role: str) -> Manifest:
    group = CLUSTER_ROLES.group
    return {
        "metadata": {"name": f"test-{role}-{user.replace(':', '-')}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


@pytest.fixture
async def act(secured: Secured) -> AsyncIterator[Callable[[str], Awaitable[Client]]]:
    """`await act(EAST)` is a client of that user on the first plane."""
    clients: dict[str, Client] = {}
    async with AsyncExitStack() as stack:

        async def enter(user: str) -> Client:
            if user not in clients:
                clients[user] = await stack.enter_async_context(secured.client(user))
            return clients[user]

        yield enter


@pytest.fixture
async def root(act: Callable[[str], Awaitable[Client]]) -> Client:
    """An admin of the first plane."""
    return await act(ROOT)


async def refused(attempt: Awaitable[T], words: str) -> None:
    """The attempt fails with 403, and its message holds these words (a pattern)."""
    with pytest.raises(Refused) as caught:
        await attempt
    assert caught.value.code == 403
    assert re.search(words, caught.value.message), caught.value.message
