"""Evaluations that could take long, made by a process of their own: nobody can interrupt the CEL library.

The kernel ends that process when one evaluation has used its time or memory; the next one starts it again.
"""

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Final

import msgspec

# Seconds of processor time for one evaluation, and bytes of memory for the process.
SECONDS: Final = 0.5
MEMORY: Final = 1024**3
_encode: Final = msgspec.msgpack.Encoder(enc_hook=str).encode
_decode: Final = msgspec.msgpack.Decoder().decode

Message = dict[str, object]
Ask = Callable[[dict[str, str], str], tuple[bool, str]]


class Ended(Exception):  # never leaves this package
    """The process was ended: the evaluation took too much."""


def send(stream: IO[bytes], message: Message) -> None:
    """Write one message."""
    body = _encode(message)
    stream.write(len(body).to_bytes(8, "big") + body)
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Read one message. Raises Ended at the end of the stream."""
    size = stream.read(8)
    body = stream.read(int.from_bytes(size, "big"))
    if len(size) < 8 or not body:
        raise Ended
    message: Message = _decode(body)
    return message


class Apart:
    """The process, started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def evaluate(self, request: Message, ask: Ask) -> Message:
        """The answer to a request; what that asks of the authorizer is answered by `ask`. Raises Ended."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018  # both are pipes
        try:
            send(process.stdin, request)
            while "question" in (answer := receive(process.stdout)):
                allowed, reason = ask(answer["question"], str(answer["verb"]))  # type: ignore[arg-type]  # as it was sent
                send(process.stdin, {"allowed": allowed, "reason": reason})
        except (Ended, BrokenPipeError) as error:
            process.kill()
            process.wait()
            self._process = None
            raise Ended from error
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            words = [sys.executable, "-m", "isthmus.apiserver.cel"]
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process


def limit_memory() -> None:
    """For the process itself, once: whatever asks for more is ended."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time(seconds: float) -> None:
    """For the process itself, before an evaluation; 0 after it. The signal's default ends the process at once."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


APART: Final = Apart()
