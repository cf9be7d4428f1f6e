"""What Kubernetes and Prometheus ask a process over HTTP: does it live, can it work, what has it counted."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.errors import Invalid
from isthmus.kit.exposition import CONTENT_TYPE, text
from isthmus.kit.http import Request, Response, answer, serve
from isthmus.kit.metrics import Meters

_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Readiness:
    """Whether a process can do its work, and what there is to say of it, a line each."""

    ready: bool
    notes: tuple[str, ...] = ()


@contextlib.asynccontextmanager
async def probed(
    listeners: Sequence[socket.socket], readiness: Callable[[], Readiness], labels: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Answer `/livez`, `/readyz` and `/metrics` on these sockets until the block ends; without any, do nothing.

    Parts that are made inside the block are metered; all metrics of ours bear `labels`, which say whose process it is,
    however it is scraped. That there is an answer at all says that the event loop
    turns: a process of ours ends when one of its tasks does.
    """
    if not listeners:
        yield
        return
    meters = Meters(labels or {})

    async def handle(request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return answer(405, b"only GET\n", _TEXT)
        if request.path == "/livez":
            return answer(200, b"ok\n", _TEXT)
        if request.path == "/readyz":
            found = readiness()
            lines = ("ok" if found.ready else "not ready", *found.notes)
            return answer(200 if found.ready else 503, "".join(f"{line}\n" for line in lines).encode(), _TEXT)
        if request.path == "/metrics":
            return answer(200, text(meters), CONTENT_TYPE)
        return answer(404, b"there are /livez, /readyz and /metrics\n", _TEXT)

    async with serve(handle, listeners):
        with meters.gathering():
            yield


def listen(address: tuple[str, int] | None) -> list[socket.socket]:
    """Sockets for an address and port; every address of both IP families where it is empty, none for None.

    Raises Invalid where the address cannot be had.
    """
    if address is None:
        return []
    host, port = address
    try:
        if not host and socket.has_dualstack_ipv6():
            return [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [socket.create_server((host or "0.0.0.0", port), family=family)]  # noqa: S104  # all were asked for
    except OSError as error:
        raise Invalid(
            f"cannot listen on {host or 'any address'} port {port}: {error.strerror}; give --metrics another address"
        ) from error
