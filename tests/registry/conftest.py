"""Clusters that belong to no set yet, joined and taken apart by the command line, as a new user does."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from isthmus.inventory.rules.joining import JoinToken, read_token
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from tests.end_to_end.conftest import CommandLine, eventually
from tests.registry.left import HUB_KINDS, KINDS, MEMBER_KINDS, listed, on_hub, on_member
from tests.registry.site import plane, site

__all__ = ["plane", "site"]


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
        known = {path.rpartition("/")[2]: path for path in (*KINDS, *HUB_KINDS, *MEMBER_KINDS)}
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
