"""What a parent of many processes needs in its one thread: word of who ended, and descriptors where they belong.

Standard library only: the spawner of pods is to be small.
"""

import fcntl
import os
import signal
import socket
from collections.abc import Iterator, Mapping

_LAST_STREAM = 2
_WAKES = 4096


class Children:
    """The children of this process; `fileno` is readable when one may have ended, or a signal came."""

    def __init__(self) -> None:
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        # For those that ended before anybody listened.
        self._wake.send(b"\0")

    def fileno(self) -> int:
        """For a selector."""
        return self._woken.fileno()

    def ended(self) -> Iterator[tuple[int, int]]:
        """Process number and wait status of each that has ended since."""
        self._woken.recv(_WAKES)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            yield pid, status


def take(wanted: Mapping[int, int]) -> None:
    """Have these descriptors under these numbers, and no others; programs started later inherit the first three."""
    # Past all numbers in use here first, or one copy could overwrite the next one's source.
    past = max(*wanted, *wanted.values()) + 1
    moved = {number: fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, past) for number, descriptor in wanted.items()}
    before = -1
    for number in sorted(wanted):
        os.dup2(moved[number], number, inheritable=number <= _LAST_STREAM)
        if before + 1 < number:
            # Python takes the empty range that ends at 0 for all there are.
            os.closerange(before + 1, number)
        before = number
    os.closerange(before + 1, os.sysconf("SC_OPEN_MAX"))
