"""Every process killed while requests run; the supervisor brings it back, and nothing asked after that fails."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import CommandLine, eventually

UNITS = [
    "hub/apiserver",
    "hub/hub",
    *(f"{c}/{u}" for c in ("east", "west") for u in ("apiserver", "node", "dns", "agent")),
]
# What may take a moment to serve again after its own process is back: pods are started anew with their node.
RECOVERY = 40.0


@pytest.mark.parametrize("unit", UNITS)
def test_a_killed_process_comes_back_and_requests_go_on(shop: CommandLine, unit: str) -> None:
    before = shop.units()[unit]
    over = threading.Event()
    load = threading.Thread(target=_requests, args=(shop, over))
    load.start()
    try:
        os.kill(int(str(before["pid"])), signal.SIGKILL)
        eventually(lambda: shop.units()[unit]["pid"] not in {0, before["pid"]}, f"{unit} is back", RECOVERY)
        eventually(lambda: shop.answered("west", 5) == 5, "the shop answers again", RECOVERY)
    finally:
        over.set()
        load.join()
    assert shop.answered("west", 20) == 20, "a request sent after recovery failed"
    assert shop.units()[unit]["state"] == "running"


def _requests(shop: CommandLine, over: threading.Event) -> None:
    end = time.monotonic() + 2 * RECOVERY
    while not over.is_set() and time.monotonic() < end:
        shop.answered("west", 10)


def test_a_killed_supervisor_takes_all_with_it_and_up_goes_on_from_the_files(shop: CommandLine) -> None:
    address = shop.well("resolve", "shop.prod.svc.clusterset.local", "--from", "west")
    units = shop.units()
    supervisor = int((shop.home / "isthmus" / "isthmus" / "lock").read_text())
    os.kill(supervisor, signal.SIGKILL)
    pids = [int(str(unit["pid"])) for unit in units.values()]
    eventually(lambda: not any(_alive(pid) for pid in pids), "all processes died with their supervisor", 10)
    shop.well("up")
    eventually(lambda: shop.curl("west"), "the shop answers again")
    assert shop.well("resolve", "shop.prod.svc.clusterset.local", "--from", "west") == address


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
