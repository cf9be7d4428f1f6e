"""Which hub and which cluster set a command speaks of: a set on this machine, or any context of a kubeconfig."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from isthmus.api.core import NAMESPACES
from isthmus.api.isthmus import SET_LABEL
from isthmus.cli.processes import FILE
from isthmus.errors import Invalid
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.local.state import HUB, SetFiles

T = TypeVar("T")
# The set that `isthmus up` makes when none is named.
_USUAL = "isthmus"


@dataclass(frozen=True)
class Hub:
    """The chosen hub; `set` is empty where the hub itself has to say which it serves."""

    kubeconfig: Path | None
    context: str | None
    set: str

    def config(self) -> Config:
        """Where it is. Without a kubeconfig or context: the hub of the set on this machine, if there is one."""
        files = SetFiles(self.set or _USUAL)
        if self.kubeconfig is None and self.context is None and HUB in files.read().clusters:
            return load_kubeconfig([files.kubeconfig], context=HUB)
        return load_kubeconfig([self.kubeconfig] if self.kubeconfig else None, context=self.context)

    def run(self, work: Callable[[Client, str], Awaitable[T]]) -> T:
        """Run `work` with a client for the hub and the set's name. Raises Invalid if there is no such set."""

        async def connected() -> T:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(Client(self.config(), user_agent="isthmus-cli"))
                return await work(client, await set_of(client, self.set))

        return asyncio.run(connected())


async def set_of(client: Client, wanted: str) -> str:
    """The set's name: the one wanted, if the hub serves it, else the only one there is. Raises Invalid."""
    found = await client.list(NAMESPACES, options=ListOptions(labels=SET_LABEL))
    sets = sorted(item.metadata.name for item in found.items)
    if wanted in sets:
        return wanted
    if not wanted and len(sets) == 1:
        return sets[0]
    if not sets:
        raise Invalid(
            f"{client.server} is the hub of no cluster set. Name the hub with --context, or type: isthmus install hub"
        )
    which = f"has no cluster set {wanted!r}" if wanted else "has several cluster sets"
    raise Invalid(f"{client.server} {which}; there are: {', '.join(sets)}. Name one with --set")


def hub_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose it; the command gets them as `hub`."""

    @functools.wraps(command)
    def chosen(*args: object, kubeconfig: Path | None, context: str | None, set_name: str, **rest: object) -> None:
        command(*args, hub=Hub(kubeconfig, context, set_name), **rest)

    made: Callable[..., None] = chosen
    for option in (
        click.option("--context", metavar="NAME", help="The hub's context in the kubeconfig."),
        click.option("--kubeconfig", type=FILE, help="Else the set on this machine, else what kubectl would use."),
        click.option("--set", "set_name", default="", metavar="NAME", help="The cluster set; the hub's only one."),
    ):
        made = option(made)
    return made
