"""Which cluster a command speaks to: one of a set on this machine, or a context of any kubeconfig."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TypeVar

from isthmus.errors import Invalid
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.local.state import HUB, SetFiles

T = TypeVar("T")


def members_of(set_name: str) -> list[str]:
    """The names of the set's running members. Raises Invalid if there is no such set."""
    files = SetFiles(set_name)
    record = files.read()
    if not record.clusters:
        raise Invalid(f"there is no set {set_name!r} on this machine. Type: isthmus up --set {set_name}")
    return [name for name, cluster in record.clusters.items() if name != HUB and not cluster.stopped]


def running_client(files: SetFiles, name: str) -> Client:
    """A client for one cluster of a set."""
    return Client(load_kubeconfig([files.kubeconfig], context=name))


def with_clients(
    set_name: str,
    names: list[str],
    work: Callable[[Mapping[str, Client]], Awaitable[T]],
    *,
    limit: float = 60.0,
) -> T:
    """Run `work` with a client for each named cluster of the set, for at most `limit` seconds.

    Raises Invalid if a name is not in the set.
    """
    files = SetFiles(set_name)
    known = files.read().clusters
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none. Type: isthmus up"
            raise Invalid(f"there is no cluster {name!r} in set {set_name!r}; there are: {there}")

    async def connected() -> T:
        async with AsyncExitStack() as stack, asyncio.timeout(limit):
            clients = {name: await stack.enter_async_context(running_client(files, name)) for name in names}
            return await work(clients)

    return asyncio.run(connected())
