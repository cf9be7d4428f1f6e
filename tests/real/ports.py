"""Ports for servers that are told theirs before they start."""

import random
import socket
from contextlib import ExitStack

# Below what the kernel gives to connections (32768 on): of those, one may be taken between the look and the start.
_RANGE = range(10_000, 32_000)
_TRIES = 1000


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1, each free a moment ago for TCP and for UDP."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_RANGE, _TRIES):
            if len(found) < count and _is_free(port, held):
                found.append(port)
    if len(found) < count:
        raise OSError(f"of {_TRIES} ports of 127.0.0.1 between {_RANGE.start} and {_RANGE.stop} too few are free")
    return found


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def _is_free(port: int, held: ExitStack) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        probe = held.enter_context(socket.socket(socket.AF_INET, kind))
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
