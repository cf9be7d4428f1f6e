"""Running a command in a pod: its input, output and exit code over one WebSocket (v5.channel.k8s.io)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from isthmus.api.core import PODS
from isthmus.api.meta import Status
from isthmus.errors import Refused, Unreachable
from isthmus.kube.client import Client
from isthmus.kube.transport import Channels

PROTOCOL: Final = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, OUTCOME, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

Output = Callable[[int, bytes], None]


@dataclass(frozen=True)
class Execution:
    """What to run where; `tty` joins stdout and stderr, as a terminal does."""

    pod: str
    command: Sequence[str]
    namespace: str
    container: str = ""
    tty: bool = False


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] = []


async def execute(
    client: Client, execution: Execution, *, output: Output, stdin: AsyncIterator[bytes] | None = None
) -> int:
    """Run a command and return its exit code; `output` gets what it writes, with STDOUT or STDERR.

    Raises NotFound if there is no such pod, Refused if it cannot run the command, Unreachable if the connection
    ends before the command does.
    """
    query = [("command", word) for word in execution.command]
    query += [("stdout", "true"), ("stderr", "false" if execution.tty else "true")]
    query += [("stdin", "true")] if stdin else []
    query += [("tty", "true")] if execution.tty else []
    query += [("container", execution.container)] if execution.container else []
    path = PODS.path(execution.pod, namespace=execution.namespace, subresource="exec")
    # Where no stream can be opened, the handshake says a number only; this says why in words.
    await client.get(PODS, execution.pod, namespace=execution.namespace)
    outcome = b""
    async with client.channels(path, tuple(query), PROTOCOL) as channels, asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(_feed(channels, stdin), name="stdin")
        outcome = await _outcome(channels, output)
        feeding.cancel()
    if not outcome:
        raise Unreachable(f"the connection to pod {execution.namespace}/{execution.pod} ended before the command did")
    return exit_code(outcome)


async def _outcome(channels: Channels, output: Output) -> bytes:
    async for channel, data in channels:
        if channel == OUTCOME:
            return data
        output(channel, data)
    return b""


async def _feed(channels: Channels, stdin: AsyncIterator[bytes] | None) -> None:
    if stdin is None:
        return
    async for data in stdin:
        await channels.send(STDIN, data)
    await channels.send(CLOSE, bytes([STDIN]))


def exit_code(outcome: bytes) -> int:
    """The exit code that the Status on the outcome channel tells; raises Refused if nothing ran."""
    status = msgspec.json.decode(outcome, type=Status)
    if status.status == "Success":
        return 0
    if status.reason == "NonZeroExitCode":
        details = msgspec.convert(status.details or {}, _Details)
        codes = [cause.message for cause in details.causes if cause.reason == "ExitCode"]
        return int(codes[0]) if codes and codes[0].isdigit() else 255
    raise Refused(code=status.code, reason=status.reason, message=status.message)
