"""The process: Members of the hub on one side, consumers' and agents' listeners on the other."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isthmus.errors import Invalid
from isthmus.kit.http import Guard, server_tls
from isthmus.kit.http import serve as serve_http
from isthmus.kit.metrics import metered
from isthmus.kit.probes import Readiness, listen, probed
from isthmus.kube.client import Client
from isthmus.kube.config import in_cluster, load_kubeconfig
from isthmus.tunnel.connect import MAX_HEAD
from isthmus.tunnel.proxy import Proxy

log = logging.getLogger(__name__)

# Seconds between two looks at the certificate, which somebody renews.
LOOK: Final = 60.0


@dataclass(frozen=True)
class TunnelOptions:
    """Where the hub is (None: the cluster we run in), where consumers and agents come, and the certificate for agents.

    Without one, agents come through something that ends TLS. Probes and metrics are served at `metrics`.
    """

    kubeconfig: Path | None
    consumers: tuple[str, int]
    agents: tuple[str, int]
    certificate: tuple[Path, Path] | None = None
    metrics: tuple[str, int] | None = None


async def run(options: TunnelOptions) -> None:
    """Serve until cancelled. Raises Invalid for addresses and files that cannot be used."""
    config = load_kubeconfig([options.kubeconfig]) if options.kubeconfig else in_cluster()
    consumers, agents = listen(options.consumers), listen(options.agents)
    proxy: Proxy | None = None

    def readiness() -> Readiness:
        is_ready = proxy is not None and proxy.members.synced
        return Readiness(is_ready, () if is_ready else ("reading Members",))

    async with (
        probed(listen(options.metrics), readiness),
        Client(config, user_agent="isthmus-tunnel") as hub,
        asyncio.TaskGroup() as tasks,
    ):
        proxy = Proxy(hub)
        metered(proxy)
        tls = None
        if options.certificate is not None:
            tls = _tls(*options.certificate)
            tasks.create_task(renew(tls, *options.certificate), name="certificate")
        await serve(proxy, consumers, agents, tls)


async def serve(
    proxy: Proxy, consumers: Sequence[socket.socket], agents: Sequence[socket.socket], tls: ssl.SSLContext | None
) -> None:
    """Serve consumers and agents on these sockets until cancelled."""
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        tasks.create_task(proxy.members.run(), name="members")
        await proxy.members.wait_synced()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.create_task(proxy.serve_consumer(reader, writer), name="consumer")

        guard = Guard(2 * proxy.limits.connections, proxy.limits.handshake)
        await stack.enter_async_context(serve_http(proxy.serve_agent, agents, tls, grace=0, guard=guard))
        for listener in consumers:
            opened = await asyncio.start_server(connected, sock=listener, limit=MAX_HEAD)
            stack.callback(opened.close)
        log.info("tunnel serving", extra={"consumers": consumers[0].getsockname()[:2]})
        # Consumers and agents come and go; that is all until we are cancelled.
        await asyncio.Event().wait()


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    try:
        return server_tls(certificate, key)
    except (OSError, ssl.SSLError) as problem:
        raise Invalid(f"{certificate}, {key}: no certificate with its key: {problem}") from problem


async def renew(tls: ssl.SSLContext, certificate: Path, key: Path, *, every: float = LOOK) -> None:
    """Somebody renews the files while we run: have connections from now on be by what they hold, until cancelled."""
    while True:
        await asyncio.sleep(every)
        try:
            # If one was replaced and the other is about to be, what is in use would be left without a key.
            _tls(certificate, key)
            tls.load_cert_chain(certificate, key)
        except (Invalid, OSError) as problem:
            log.warning("certificate not read", extra={"problem": str(problem)})
