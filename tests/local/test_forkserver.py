import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.errors import Unreachable
from isthmus.local.forkserver import ForkServer, Program
from tests.local.inside import AS_ROOT, AS_USER, unshare, why_not

WAIT = 30.0


@pytest.fixture(params=[AS_ROOT, AS_USER])
def way(request: pytest.FixtureRequest) -> str:
    if reason := why_not(request.param):
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def server(way: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A fork server whose first program has written its report."""
    process = subprocess.Popen([*unshare(way), sys.executable, "-m", "tests.local.forking", str(tmp_path)])
    try:
        wait_for((tmp_path / "report").exists)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def report(folder: Path) -> tuple[str, str, list[int]]:
    port, ended, pids = (folder / "report").read_text().splitlines()
    return port, ended, [int(pid) for pid in pids.split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.usefixtures("server")
def test_a_program_has_its_words_its_descriptors_its_network_and_its_name(tmp_path: Path) -> None:
    port, ended, _ = report(tmp_path)
    assert ended == f"[3, 1, 1, {-signal.SIGKILL}]"
    told, *rest = (tmp_path / "output").read_text().splitlines()
    # Open: stdin to stderr, what it keeps, and the folder that lists them.
    assert told == f"{port} True 5 ['lo'] python -m tests"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-2:] == ["ValueError: that was wrong", "that was a word"]


@pytest.mark.parametrize("killed", [pytest.param(0, id="the server"), pytest.param(1, id="who gives the orders")])
def test_whoever_dies_takes_all_with_it(server: subprocess.Popen[bytes], tmp_path: Path, killed: int) -> None:
    _, _, pids = report(tmp_path)
    assert all(map(is_alive, pids))
    os.kill(pids[killed], signal.SIGKILL)
    assert server.wait(WAIT) == (-signal.SIGKILL if killed == 0 else 128 + signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, pids)))


def test_told_to_end_it_ends_as_the_first_program_does(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    _, _, pids = report(tmp_path)
    server.terminate()
    assert server.wait(WAIT) == 5
    wait_for(lambda: not any(map(is_alive, pids)))


def test_a_program_that_cannot_be_started_says_why() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def refuse() -> None:
        _, received, _, _ = socket.recv_fds(far, 4096, 2)
        # What fork(2) says where there is no room for another process.
        os.write(received[0], os.strerror(errno.EAGAIN).encode())
        for descriptor in received:
            os.close(descriptor)

    refusing = threading.Thread(target=refuse)
    with near, far, Path(os.devnull).open("wb") as null:
        refusing.start()
        with pytest.raises(Unreachable, match="nothing cannot be started: Resource temporarily unavailable"):
            ForkServer(near).start(Program(("nothing",)), null.fileno())
        refusing.join()
