"""A fork server to be tested: `python -m tests.local.forking FOLDER` runs `supervise`; what that starts is `main`."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from isthmus.local.forkserver import ForkServer, Program, serve
from isthmus.local.namespaces import new_network
from isthmus.local.netlink import Netlink

MODULE = "tests.local.forking"
LOADED_BY = os.getpid()
# More than fit between 3 and the number under which a program keeps its own.
MANY = 40


def main() -> int:
    """What the second word says; 3 unless it says otherwise."""
    match sys.argv[1]:
        case "tell":
            with socket.socket(fileno=int(sys.argv[2])) as kept:
                open_ones = len(list(Path("/proc/self/fd").iterdir()))
                links = [name for _, name in socket.if_nameindex()]
                name = Path("/proc/self/comm").read_text().strip()
                sys.stdout.write(f"{kept.getsockname()[1]} {os.getppid() == LOADED_BY} {open_ones} {links} {name}\n")
        case "wrong":
            raise ValueError("that was wrong")
        case "word":
            sys.exit("that was a word")
        case "wait":
            signal.pause()
    return 3


async def supervise(folder: Path, starter: ForkServer) -> int:
    """Start one program of each kind, write how they ended, and stay until told to end."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(MANY)]
    last = listeners[-1]
    # What a program in a network of its own does not see.
    Netlink().add_bridge("outside")
    with (folder / "output").open("wb") as file:
        told = Program((MODULE, "tell", str(last.fileno())), (last.fileno(),), new_network())
        ended = [await starter.start(told, file.fileno()).wait()]
        ended += [await starter.start(Program((MODULE, word)), file.fileno()).wait() for word in ("wrong", "word")]
        waiting = starter.start(Program((MODULE, "wait")), file.fileno())
        waiting.send_signal(signal.SIGKILL)
        ended.append(await waiting.wait())
        waiting.send_signal(signal.SIGKILL)
        staying = starter.start(Program((MODULE, "wait")), file.fileno())
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    (folder / "new").write_text(f"{last.getsockname()[1]}\n{ended}\n{os.getppid()} {os.getpid()} {staying.pid}")
    (folder / "new").rename(folder / "report")
    await over.wait()
    return 5


if __name__ == "__main__":
    serve([MODULE], lambda starter: asyncio.run(supervise(Path(sys.argv[1]), starter)))
