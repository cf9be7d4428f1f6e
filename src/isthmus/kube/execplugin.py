"""Credentials that a program hands out: client-go's exec plugins, `client.authentication.k8s.io`."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, Unreachable

VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
MODES: Final = ("Never", "IfAvailable", "Always")

# Seconds until a plugin counts as hanging: alone, and with a person at the terminal who has to log in.
PATIENCE: Final = 60.0
PATIENCE_WITH_A_PERSON: Final = 300.0
MAX_OUTPUT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Plugin:
    """How to run one; `origin` is the field of the kubeconfig, for errors, `kind` what metrics call it."""

    origin: str
    command: str
    api_version: str = VERSIONS[0]
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cluster: Manifest | None = None
    mode: str = "IfAvailable"
    hint: str = ""
    patience: float = PATIENCE
    kind: str = ""

    async def run(self) -> "Issued":
        """Credentials, fresh from the program; raises Invalid (mend it) or Unreachable (it failed now)."""
        interactive = self._interactive()
        process = await self._start(interactive)
        patience = PATIENCE_WITH_A_PERSON if interactive else self.patience
        try:
            async with asyncio.timeout(patience):
                out, err = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
                code = await process.wait()
        except TimeoutError as problem:
            raise Unreachable(
                f"{self.origin}: {self.command} gave no credentials within {patience:g} s and was ended; "
                "run it by hand to see what it waits for"
            ) from problem
        finally:
            await _end(process, group=not interactive)
        if code != 0:
            raise Unreachable(f"{self.origin}: {self.command} failed with exit code {code}: {_last(err)}")
        return self._read(out)

    async def _start(self, interactive: bool) -> Process:
        info = {
            "apiVersion": self.api_version,
            "kind": "ExecCredential",
            "spec": {"interactive": interactive} | ({"cluster": self.cluster} if self.cluster else {}),
        }
        exec_info = {"KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        try:
            return await asyncio.create_subprocess_exec(
                self.command,
                *self.args,
                env={**os.environ, **dict(self.env), **exec_info},
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=PIPE,
                stderr=None if interactive else PIPE,
                # Alone it gets a group of its own, so that its children end with it. With a person it stays
                # in ours, or the terminal would stop it.
                start_new_session=not interactive,
            )
        except (OSError, ValueError) as problem:
            hint = self.hint or "install it, or correct the path"
            raise Invalid(f"{self.origin}.command: cannot run {self.command}: {problem}; {hint}") from problem

    def _interactive(self) -> bool:
        terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
        if self.mode == "Always" and not terminal:
            raise Invalid(
                f"{self.origin}.interactiveMode: {self.command} needs a person at a terminal; use other credentials"
            )
        return terminal and self.mode != "Never"

    def _read(self, out: bytes) -> "Issued":
        try:
            answer = msgspec.json.decode(out, type=_ExecCredential)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            raise Invalid(f"{self.origin}: {self.command} printed no ExecCredential: {problem}") from problem
        if (answer.kind, answer.api_version) != ("ExecCredential", self.api_version):
            raise Invalid(
                f"{self.origin}.apiVersion: {self.command} answers with {answer.api_version} {answer.kind}, "
                f"but the kubeconfig says {self.api_version}; change the kubeconfig, or update the plugin"
            )
        status = answer.status
        if not status or bool(status.client_certificate_data) != bool(status.client_key_data):
            raise Invalid(f"{self.origin}: {self.command} printed an ExecCredential without a complete status")
        if not status.token and not status.client_certificate_data:
            raise Invalid(f"{self.origin}: {self.command} printed neither a token nor a client certificate")
        return status


class Issued(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a plugin handed out, and until when it holds."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: Issued | None = None


async def _bounded(stream: asyncio.StreamReader | None) -> bytes:
    """At most MAX_OUTPUT bytes; what comes after is read, so that the program can end, and dropped."""
    kept = b""
    while stream is not None and (chunk := await stream.read(1 << 16)):
        kept = (kept + chunk)[:MAX_OUTPUT]
    return kept


async def _end(process: Process, *, group: bool) -> None:
    # Also after success: a plugin may leave children behind that hold our pipes.
    try:
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    await process.wait()
    # To their end, so that the pipes close now; somebody who fled the group may hold them open.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))


def _last(err: bytes) -> str:
    return " ".join(err[-500:].decode(errors="replace").split()) or "it said nothing on stderr"
