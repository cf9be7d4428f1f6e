"""`isthmus`, which dies as by kill -9 after one of its writes: `python -m tests.registry.dying POINT WORD ...`.

POINT is how many writes it lives for, or part of the path of the last one.
"""

import os
import signal
import sys

from isthmus.cli.main import main
from isthmus.kube.request import Request
from isthmus.kube.transport import Transport


def dying_at(point: str) -> None:
    """The server has answered the last of these; nobody hears the answer."""
    send, sent = Transport.send, 0

    async def send_and_die(self: Transport, request: Request) -> bytes:
        nonlocal sent
        answer = await send(self, request)
        # Questions about one's own rights are created too, and change nothing.
        if request.method != "GET" and "reviews" not in request.path:
            sent += 1
            if point == str(sent) or (not point.isdecimal() and point in request.path):
                os.kill(os.getpid(), signal.SIGKILL)
        return answer

    Transport.send = send_and_die  # type: ignore[method-assign]  # the one way to die between two requests


if __name__ == "__main__":
    dying_at(sys.argv.pop(1))
    main()
