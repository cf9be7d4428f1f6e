"""What a pod's container wrote, as the API server passes it on."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from isthmus.api.core import PODS
from isthmus.kube.client import Client


@dataclass(frozen=True)
class LogOptions:
    """Which part of the log; `tail` None: all of it."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    tail: int | None = None


async def logs(client: Client, pod: str, *, namespace: str, options: LogOptions) -> AsyncIterator[bytes]:
    """The log in pieces, as it is written; raises NotFound, Refused with the server's reason, Unreachable."""
    query = [("container", options.container)] if options.container else []
    query += [(name, "true") for name in ("follow", "previous") if getattr(options, name)]
    query += [] if options.tail is None else [("tailLines", str(options.tail))]
    path = PODS.path(pod, namespace=namespace, subresource="log")
    async with aclosing(client.stream(path, tuple(query))) as pieces:
        async for piece in pieces:
            yield piece
