"""The network of a set, in namespaces of its own: who reaches whom, and what is left afterwards."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.errors import Invalid
from isthmus.local.addresses import HUB
from isthmus.local.network import NodeNetwork, SetNetwork
from tests.local.inside import AS_ROOT, AS_USER, enter_command, run_inside, why_not

pytestmark = pytest.mark.node
WAIT = 10.0


@pytest.fixture(params=[AS_ROOT, AS_USER])
def way(request: pytest.FixtureRequest) -> str:
    if reason := why_not(request.param):
        pytest.skip(f"{request.param}: {reason}")
    return str(request.param)


@contextlib.contextmanager
def answering(listener: socket.socket) -> Iterator[None]:
    """Greet everyone who connects."""

    def greet() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.sendall(b"hello")
                connection.close()

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    with listener:
        yield
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def hears(node: NodeNetwork, address: str, port: int) -> bool:
    """Whether a connection from inside the node is greeted."""
    code = f"import socket; s = socket.create_connection(('{address}', {port}), 1); assert s.recv(9) == b'hello'"
    command = enter_command(node, [sys.executable, "-S", "-c", code])
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


async def services_are_the_nodes_own() -> None:
    network = SetNetwork.create()
    east, west = await network.add_node(1), await network.add_node(2)
    for address in east.addresses.cluster_dns:
        with answering(east.listen(address, 53)):
            assert hears(east, address, 53)
            assert not hears(west, address, 53)


async def nodes_reach_nodes_and_the_hub() -> None:
    network = SetNetwork.create()
    east, west = await network.add_node(1), await network.add_node(200)
    for address in west.addresses.node:
        with answering(west.listen(address, 6443)):
            assert hears(east, address, 6443)
    for address in HUB:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with answering(socket.create_server((address, 6443), family=family)):
            assert hears(east, address, 6443)


async def pods_are_reached_by_way_of_their_node() -> None:
    network = SetNetwork.create()
    east, west = await network.add_node(1), await network.add_node(2)
    # A pod's address on the node itself stands for a pod: what is tested is the way to the node.
    for index, address in enumerate(west.addresses.pod(2)):
        prefix = (32, 128)[index]
        code = f"from isthmus.local.netlink import Netlink; Netlink().add_address(1, '{address}/{prefix}')"
        subprocess.run(enter_command(west, [sys.executable, "-c", code]), check=True)
        with answering(west.listen(address, 80)):
            assert hears(east, address, 80)
            await network.remove_node(1)
            east = await network.add_node(1)
            assert hears(east, address, 80)
    await network.remove_node(2)
    assert not hears(east, west.addresses.pod(2)[0], 80)


async def mistakes_are_explained() -> None:
    network = SetNetwork.create()
    east = await network.add_node(1)
    with pytest.raises(Invalid, match="a node 1 already"):
        await network.add_node(1)
    with east.listen("10.0.0.1", 6443), pytest.raises(Invalid, match=r"cannot listen on 10.0.0.1 port 6443"):
        east.listen("10.0.0.1", 6443)
    await network.remove_node(7)
    network.close()


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(services_are_the_nodes_own, id="service addresses are local to their node, and to no other"),
        pytest.param(nodes_reach_nodes_and_the_hub, id="nodes reach each other and the hub"),
        pytest.param(pods_are_reached_by_way_of_their_node, id="pods are reached as long as their node is there"),
        pytest.param(mistakes_are_explained, id="mistakes are explained"),
    ],
)
def test_the_network_of_a_set(story: object, way: str) -> None:
    assert callable(story)
    run_inside(story, way)


def test_outside_of_namespaces_the_kernel_says_no(tmp_path: Path) -> None:
    """Without rights over its network namespace a process gets a sentence, not a traceback."""
    code = (
        "from isthmus.local.network import SetNetwork\nfrom isthmus.errors import Invalid\n"
        "try: SetNetwork.create()\nexcept Invalid as error: print(error)"
    )
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "the set's network cannot be made" in said.stdout
