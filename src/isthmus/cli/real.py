"""Which real cluster a command works on, as kubectl is told: a kubeconfig, and a context of it."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from isthmus.cli.processes import FILE
from isthmus.kube.client import Client
from isthmus.kube.config import Config, in_cluster, load_kubeconfig

T = TypeVar("T")


@dataclass(frozen=True)
class Real:
    """The chosen cluster; `in_cluster`: the one whose pod this is."""

    kubeconfig: Path | None
    context: str | None
    in_cluster: bool = False

    def config(self) -> Config:
        """Where it is, and who to be there. Raises Invalid."""
        if self.in_cluster:
            return in_cluster()
        return load_kubeconfig([self.kubeconfig] if self.kubeconfig else None, context=self.context)

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Run `work` with a client for it."""

        async def connected() -> T:
            async with Client(self.config(), user_agent="isthmus-install") as client:
                return await work(client)

        return asyncio.run(connected())


def real_cluster(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose it; the command gets them as `real`."""

    @functools.wraps(command)
    def chosen(*args: object, kubeconfig: Path | None, context: str | None, **rest: object) -> None:
        command(*args, real=Real(kubeconfig, context), **rest)

    made: Callable[..., None] = chosen
    for option in (
        click.option("--context", metavar="NAME", help="The context of the kubeconfig; its current one."),
        click.option("--kubeconfig", type=FILE, help="Else $KUBECONFIG, else ~/.kube/config."),
    ):
        made = option(made)
    return made
