"""The kubelet API on a Unix socket: logs of containers, and commands in them.

The API server passes `pods/log` and `pods/exec` on to it; whoever reaches the socket is trusted.
"""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from isthmus.api.meta import Status
from isthmus.errors import APIError, Invalid, IsthmusError, NotFound, Refused
from isthmus.kit.http import Request, Stream, answer, open_stream, serve
from isthmus.local.node.kubelet import Kubelet
from isthmus.local.node.logfiles import LogOptions, follow
from isthmus.local.node.pod import PodLife
from isthmus.local.node.streams import Session, run_session

_BACKLOG = 128


async def serve_kubelet(path: Path, kubelet: Kubelet) -> None:
    """Answer on the socket until cancelled. Raises Invalid if it cannot be made."""
    door = _door(path)
    api = KubeletAPI(kubelet)
    async with serve(api.handle, [door]):
        await asyncio.get_running_loop().create_future()


def _door(path: Path) -> socket.socket:
    # A socket left by a process that was killed.
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(str(path))
    except OSError as error:
        door.close()
        raise Invalid(f"the kubelet cannot listen on {path}: {error}") from error
    path.chmod(0o600)
    door.listen(_BACKLOG)
    door.setblocking(False)
    return door


class KubeletAPI:
    """Answers requests about the pods of one node."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet

    async def handle(self, request: Request) -> Stream:
        """Answer one request; what goes wrong before the first byte becomes a Status."""
        try:
            return await self._route(request)
        except APIError as error:
            return _failure(error.code, error.reason, error.message)
        except IsthmusError as error:
            return _failure(400, "BadRequest", str(error))

    async def _route(self, request: Request) -> Stream:
        parts = request.path.strip("/").split("/")
        if parts == ["healthz"]:
            return answer(200, b"ok", "text/plain")
        if len(parts) != 4:
            raise NotFound(code=404, reason="NotFound", message=f"the kubelet serves no {request.path}")
        verb, namespace, name, container = parts
        worker = self._kubelet.worker(namespace, name)
        if worker is None:
            raise NotFound(code=404, reason="NotFound", message=f'pods "{name}" not found on this node')
        if verb == "containerLogs":
            return await _logs(request, worker.life, container)
        if verb == "exec":
            return await run_session(request, _session(request, worker.life, container))
        raise NotFound(code=404, reason="NotFound", message=f"{verb} is not supported on an embedded node")


async def _logs(request: Request, life: PodLife, container: str) -> Stream:
    query = request.query
    path, live = life.log(container, previous=_truth(query, "previous"))
    options = _log_options(query, datetime.now(UTC))
    stream = await open_stream(request, "text/plain; charset=utf-8")
    async with aclosing(follow(path, options, live if _truth(query, "follow") else None)) as pieces:
        async for piece in pieces:
            await stream.write(piece)
    await stream.write_eof()
    return stream


def _session(request: Request, life: PodLife, container: str) -> Session:
    query = request.query
    running = life.lives.get(container)
    if running is None or running.process is None or running.process.ended.done() or running.program is None:
        name = life.pod.metadata.name
        raise Refused(code=400, reason="BadRequest", message=f"container {container} of pod {name} is not running")
    argv = query.getall("command", [])
    if not argv:
        raise Refused(code=400, reason="BadRequest", message="you must specify at least 1 command for the container")
    return Session(
        argv=argv,
        container=running,
        stdin=_truth(query, "stdin") or _truth(query, "input"),
        tty=_truth(query, "tty"),
    )


def _log_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    since = None
    if "sinceSeconds" in query:
        since = now - timedelta(seconds=_number(query, "sinceSeconds") or 0)
    elif query.get("sinceTime"):
        try:
            since = datetime.fromisoformat(query["sinceTime"])
        except ValueError as error:
            raise Invalid(f"sinceTime {query['sinceTime']!r} is no time; write 2030-01-31T12:00:00Z") from error
    return LogOptions(
        tail=_number(query, "tailLines"),
        since=since,
        timestamps=_truth(query, "timestamps"),
        limit=_number(query, "limitBytes"),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(f"{name} {text!r} is no number")
    return int(text)


def _truth(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in {"true", "1"}


def _failure(code: int, reason: str, message: str) -> Stream:
    status = Status(status="Failure", reason=reason, message=message, code=code)
    named = {"kind": status.kind, "apiVersion": status.api_version} | msgspec.to_builtins(status)
    return answer(code, msgspec.json.encode(named), "application/json")
