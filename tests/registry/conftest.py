"""Clusters that belong to no set yet, joined and taken apart by the command line, as a new user does."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from isthmus.errors import NotFound
from isthmus.inventory.rules.joining import JoinToken, read_token
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from tests.end_to_end.conftest import CommandLine, eventually

# What every cluster has, whoever uses it.
_ALWAYS = re.compile(r"kube-|system:|-node$|/(default|kubernetes|cluster-admin|admin|edit|view)$|/kubernetes-")
_RBAC, _ADMISSION = "apis/rbac.authorization.k8s.io/v1", "apis/admissionregistration.k8s.io/v1"
_HUB_KINDS = (
    *("apis/isthmus.dev/v1alpha1/" + kind for kind in ("joinrequests", "members", "exportedservices")),
    "apis/multicluster.x-k8s.io/v1alpha1/clusterprofiles",
)
_KINDS = (
    *("api/v1/" + kind for kind in ("serviceaccounts", "secrets", "configmaps", "services")),
    *(f"{_RBAC}/{kind}" for kind in ("roles", "rolebindings")),
    *("apis/discovery.k8s.io/v1/endpointslices", "apis/apps/v1/deployments", "apis/coordination.k8s.io/v1/leases"),
)
_MEMBER_KINDS = (
    *("api/v1/namespaces", f"{_RBAC}/clusterroles", f"{_RBAC}/clusterrolebindings"),
    *(f"{_ADMISSION}/validatingadmissionpolicies", f"{_ADMISSION}/validatingadmissionpolicybindings"),
    *("apis/apiextensions.k8s.io/v1/customresourcedefinitions", "apis/scheduling.k8s.io/v1/priorityclasses"),
    *("apis/about.k8s.io/v1beta1/clusterproperties", "apis/multicluster.x-k8s.io/v1beta1/serviceimports"),
)


async def listed(client: Client, paths: Sequence[str]) -> set[str]:
    """The names of all objects at these paths that were not there from the beginning."""

    async def of(path: str) -> set[str]:
        try:
            items = msgspec.json.decode(await client.raw("GET", f"/{path}"))["items"]
        except NotFound:
            return set()
        places = ((item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in items)
        return {"/".join(filter(None, (path.rpartition("/")[2], *place))) for place in places}

    found = set().union(*await asyncio.gather(*map(of, paths)))
    return {name for name in found if not _ALWAYS.search(name)}


async def on_member(client: Client) -> set[str]:
    """All that Isthmus could have left on a member."""
    return await listed(client, (*_KINDS, *_MEMBER_KINDS))


async def on_hub(client: Client) -> set[str]:
    """All that a member could have left on its hub."""
    return await listed(client, (*_KINDS, *_HUB_KINDS))


class Hands(CommandLine):
    """What a person types who has a hub, and clusters that are in no set."""

    def token(self, *words: str) -> str:
        """A new join token."""
        return self.well("token", "create", "--context", "hub", *words).strip()

    def read(self, *words: str) -> JoinToken:
        """The same, to be looked into."""
        return read_token(self.token(*words))

    def refused(self, *words: str) -> str:
        """What a command said that must fail; never a traceback."""
        done = self(*words)
        assert done.returncode in {1, 2, 3}, f"isthmus {' '.join(words)}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def objects(self, cluster: str, *kinds: str) -> set[str]:
        """What there is of these kinds."""
        known = {path.rpartition("/")[2]: path for path in (*_KINDS, *_HUB_KINDS, *_MEMBER_KINDS)}
        return self.ask(cluster, lambda client: listed(client, [known[kind] for kind in kinds]))

    def on_member(self, cluster: str) -> set[str]:
        """All that Isthmus could have left on a member."""
        return self.ask(cluster, on_member)

    def on_hub(self) -> set[str]:
        """All that a member could have left on the hub."""
        return self.ask("hub", on_hub)

    def ask(self, cluster: str, work: Callable[[Client], Awaitable[set[str]]]) -> set[str]:
        async def asking() -> set[str]:
            async with Client(load_kubeconfig([Path(self.extra["KUBECONFIG"])], context=cluster)) as client:
                return await work(client)

        return asyncio.run(asking())

    def leave(self, cluster: str) -> None:
        """Take it out again, if it is a member."""
        self("leave", "--context", cluster, "--crds", "--yes")
        account = f"serviceaccounts/isthmus-members/{cluster}"
        eventually(lambda: account not in self.objects("hub", "serviceaccounts"), f"the hub has let {cluster} go")


@pytest.fixture(scope="package")
def lonely_set() -> Iterator[Hands]:
    """A hub, and the clusters east and west, which are in no set."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-", dir="/tmp"))
    hands = Hands(folder, extra={"KUBECONFIG": str(folder / "isthmus" / "isthmus" / "kubeconfig")})
    try:
        hands.well("up", "--clusters", "east,west", "--no-join")
        yield hands
    finally:
        hands("down")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hands(lonely_set: Hands) -> Iterator[Hands]:
    """The same for one test, which may leave clusters joined."""
    yield lonely_set
    for cluster in ("east", "west"):
        if (lonely_set.home / "isthmus" / "isthmus" / cluster / "membership.json").exists():
            lonely_set.leave(cluster)
