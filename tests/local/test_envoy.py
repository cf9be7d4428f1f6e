import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.local.envoy import EnvoyFiles, command, run_envoy
from isthmus.local.rules.proxy import ADMIN, resources
from isthmus.local.rules.routes import Backend, Route
from tests.local.conftest import eventually
from tests.local.inside import AS_USER, unshare, why_not

pytestmark = pytest.mark.node


def route(port: int = 80) -> Route:
    return Route(f"prod/shop:{port}", "TCP", "10.9.128.7", port, False, (Backend("10.9.0.1", 8080),))


def read(path: Path) -> list[str]:
    return [each["name"] for each in json.loads(path.read_bytes())["resources"]]


def test_files_are_replaced_as_a_whole_and_only_when_something_differs(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path / "envoy")
    files.create("east-node")
    assert files.write(resources([route()]))
    seen = (tmp_path / "envoy" / "listeners.json").stat().st_ino
    assert not files.write(resources([route()]))
    assert (tmp_path / "envoy" / "listeners.json").stat().st_ino == seen
    assert files.write(resources([route(), route(81)]))
    assert read(tmp_path / "envoy" / "listeners.json") == ["prod/shop:80", "prod/shop:81"]
    assert read(tmp_path / "envoy" / "clusters.json") == ["prod/shop:80", "prod/shop:81"]
    assert not list((tmp_path / "envoy").glob("*.new"))


def admin(path: str) -> str:
    """What Envoy's own page says; empty while it is not there."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        try:
            sock.connect("\0" + ADMIN.removeprefix("@"))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()
        except OSError:
            return ""


def is_live() -> bool:
    return "LIVE" in admin("/ready")


@pytest.mark.usefixtures("service_network")
async def test_envoy_starts_small_and_ends_with_its_task(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path)
    files.create("east-node")
    files.write(resources([route(port) for port in range(1, 101)]))
    task = asyncio.ensure_future(run_envoy(files))
    await eventually(is_live)
    assert '"concurrency": 1' in admin("/server_info")
    assert "prod/shop:100::10.9.128.7:100" in admin("/listeners")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not is_live()


@pytest.mark.usefixtures("service_network")
async def test_envoy_dies_with_its_parent(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path)
    files.create("east-node")
    files.write(resources([]))
    code = f"import subprocess; subprocess.Popen({list(command(files))!r}).wait()"
    parent = subprocess.Popen([sys.executable, "-c", code])
    await eventually(is_live)
    parent.kill()
    parent.wait()
    await eventually(lambda: not is_live())


def test_an_ordinary_user_can_have_service_addresses_too() -> None:
    if reason := why_not(AS_USER):
        pytest.skip(f"{AS_USER}: {reason}")
    proxy = Path(__file__).with_name("test_proxy.py")
    chosen = ("-k", "curl or drops_no_connection or answered_from_the_service_address")
    inside = [*unshare(AS_USER), sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(proxy), *chosen]
    done = subprocess.run(inside, check=False, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
