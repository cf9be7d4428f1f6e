"""Linux namespaces, mounts and lives: the system calls that Python 3.11 does not offer, by way of libc.

namespaces(7), mount_namespaces(7), pid_namespaces(7), prctl(2).
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

NEW_MOUNTS = 0x00020000
NEW_HOST_NAME = 0x04000000
NEW_IPC = 0x08000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

READ_ONLY, REMOUNT, BIND, RECURSIVE = 0x1, 0x20, 0x1000, 0x4000
UNBINDABLE, PRIVATE = 0x20000, 0x40000
NO_SUID, NO_DEVICES, NO_EXEC = 0x2, 0x4, 0x8
NO_ATIME, NO_DIR_ATIME, RELATIVE_ATIME = 0x400, 0x800, 0x200000
_DETACH = 2

_SIGNAL_AT_PARENTS_DEATH = 1
_DROP_FROM_BOUNDING_SET = 24
_LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (its next children, for NEW_PIDS)."""
    _checked(_libc.unshare(flags), "unshare")


def enter(descriptor: int, flags: int) -> None:
    """Move the calling thread into a namespace, or into those of a process that `descriptor` (a pidfd) names."""
    _checked(_libc.setns(descriptor, flags), "setns")


@contextlib.contextmanager
def inside(network: int) -> Iterator[None]:
    """Be in another network namespace; the caller must not await within."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(network, NEW_NETWORK)
        try:
            yield
        finally:
            enter(before, NEW_NETWORK)
    finally:
        os.close(before)


def new_network() -> int:
    """A descriptor of a fresh network namespace; it goes when the last descriptor and process in it do."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(NEW_NETWORK)
        try:
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            enter(before, NEW_NETWORK)
    finally:
        os.close(before)


@contextlib.contextmanager
def children_in(pids: int | None = None) -> Iterator[None]:
    """Let the children forked within be in another PID namespace: a fresh one, or that of a pidfd.

    The caller must be in a PID namespace of its own user namespace. No thread can be started meanwhile.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if pids is None:
            unshare(NEW_PIDS)
        else:
            enter(pids, NEW_PIDS)
        try:
            yield
        finally:
            enter(own, NEW_PIDS)
    finally:
        os.close(own)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _checked(result, f"mount {kind or source} on {target}")


def detach(target: str) -> None:
    """Unmount, with everything below, as soon as nobody uses it."""
    _checked(_libc.umount2(os.fsencode(target), _DETACH), f"unmount {target}")


def pivot_root(root: str, old: str) -> None:
    """Make `root` the root of this mount namespace; what was it before appears at `old`."""
    _checked(_libc.pivot_root(os.fsencode(root), os.fsencode(old)), "pivot_root")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Let programs started from here on have no capabilities but these (capabilities(7))."""
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in kept:
            # Refused for numbers that this kernel does not know: nothing to drop then.
            _libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have this process killed when its parent dies; ends it at once where `parent` has died already."""
    _checked(_libc.prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
