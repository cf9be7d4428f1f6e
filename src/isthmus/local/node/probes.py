"""Asking a container how it is: by a command, an HTTP request or a TCP connection, and how often.

"Configure Liveness, Readiness and Startup Probes" (Kubernetes tasks).
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from isthmus.errors import IsthmusError
from isthmus.kit.clock import Clock
from isthmus.local.node.podspec import Container, Handler, HTTPGetAction, Probe

# Before the first success a container is asked more often than its period says, so that what comes up is
# ready at once: first after this many seconds, then each time after a longer pause.
EAGER, GROWTH = 0.1, 1.3
_LONGEST_HEAD = 64 * 1024
Run = Callable[[Sequence[str]], Awaitable[int]]


@dataclass(frozen=True)
class Target:
    """A container to ask: the pod's address, and how to run a command in it."""

    container: Container
    address: str
    run: Run


class Unwell(IsthmusError):
    """A probe's answer was not the one hoped for."""


async def ask(handler: Handler, target: Target, seconds: float) -> None:
    """Ask once; raises Unwell, which says what was wrong."""
    try:
        async with asyncio.timeout(seconds):
            await _ask(handler, target)
    except TimeoutError as error:
        raise Unwell(f"no answer within {seconds:g} s") from error
    except (OSError, ssl.SSLError) as error:
        raise Unwell(str(error)) from error


async def results(probe: Probe, target: Target, clock: Clock, *, eager: bool) -> AsyncGenerator[str, None]:
    """The probe's verdicts as they come: empty for success, else what was wrong.

    With `eager`, extra tries are made until the first success; they are told only when they succeed.
    """
    await clock.sleep(probe.initial_delay_seconds)
    well = not eager
    pause = EAGER
    while True:
        began = clock.monotonic()
        problem = await _problem(probe, target)
        yield problem
        well = well or not problem
        end = began + max(probe.period_seconds, 1)
        while not well and clock.monotonic() + pause < end:
            await clock.sleep(pause)
            pause *= GROWTH
            if not await _problem(probe, target):
                well = True
                yield ""
        await clock.sleep(max(0.0, end - clock.monotonic()))


async def _problem(probe: Probe, target: Target) -> str:
    try:
        await ask(probe, target, max(probe.timeout_seconds, 1))
    except IsthmusError as error:
        return str(error) or type(error).__name__
    return ""


async def _ask(handler: Handler, target: Target) -> None:
    if handler.exec:
        code = await target.run(handler.exec.command)
        if code:
            raise Unwell(f"command ended with exit code {code}")
    elif handler.http_get:
        await _get(handler.http_get, target)
    elif handler.tcp_socket:
        action = handler.tcp_socket
        _, writer = await asyncio.open_connection(action.host or target.address, target.container.port(action.port))
        writer.close()
    elif handler.sleep:
        await asyncio.sleep(handler.sleep.seconds)


async def _get(action: HTTPGetAction, target: Target) -> None:
    host, port = action.host or target.address, target.container.port(action.port)
    tls = _unverified() if action.scheme.upper() == "HTTPS" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=_LONGEST_HEAD)
    try:
        headers = {"Host": f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "User-Agent": "kube-probe/isthmus"}
        headers |= {header.name: header.value for header in action.http_headers} | {"Connection": "close"}
        path = action.path if action.path.startswith("/") else "/" + action.path
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise Unwell("the probe's path or headers hold a line break")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = (await reader.readline()).split(b" ", 2)
    except ValueError as error:
        raise Unwell(f"no HTTP answer: {error}") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if len(answer) < 2 or not answer[0].startswith(b"HTTP/") or not answer[1].strip().isdigit():
        raise Unwell("no HTTP answer")
    code = int(answer[1])
    if not 200 <= code < 400:
        raise Unwell(f"HTTP probe failed with statuscode: {code}")


def _unverified() -> ssl.SSLContext:
    # Probes do not verify certificates: the kubelet has nobody's authority either.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
