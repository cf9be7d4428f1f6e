"""A cluster of its own for tests: set network, API server, and the node's process, as the supervisor starts them.

Runs in namespaces of its own (`python -m tests.local.node.stage FOLDER LISTENER`); the node's process is
started again whenever it ends. All of it ends with its standard input.
"""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import IO

from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.local.network import NodeNetwork, SetNetwork
from tests.local.inside import enter_command

CLUSTER, NUMBER, PORT = "east", 1, 6443


async def main(folder: Path, listener: socket.socket) -> None:
    network = SetNetwork.create()
    node = await network.add_node(NUMBER)
    addresses = node.addresses
    inside = [node.listen(address, PORT) for address in addresses.node]
    state = folder / CLUSTER
    socket_path = folder / "kubelet.sock"
    options = ServerOptions(
        name=CLUSTER,
        pki=state / "pki",
        service_ranges=addresses.service_ranges,
        pod_ranges=addresses.pod_ranges,
        kubelet_socket=socket_path,
        listeners=[listener, *inside],
        advertised=((addresses.node[0], PORT),),
    )
    async with APIServer(options) as server:
        (folder / "kubeconfig").write_text(json.dumps(server.kubeconfig()))
        user = f"system:node:{CLUSTER}-node"
        kubeconfig = server.pki.client_config(
            f"https://{addresses.node[0]}:{PORT}", user, ["system:nodes", "system:masters"]
        )
        (state / "node.kubeconfig").write_text(json.dumps(kubeconfig))
        config = {
            "cluster": CLUSTER,
            "number": NUMBER,
            "kubeconfig": str(state / "node.kubeconfig"),
            "state": str(state),
            "kubelet_socket": str(socket_path),
            "zone": "east-1",
            "region": "east",
            "labels": {"disk": "fast"},
        }
        (folder / "node.json").write_text(json.dumps(config))
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(keep_node(node, folder), name="node")
            await asyncio.to_thread(sys.stdin.read)
            keeping.cancel()
    network.close()


async def keep_node(node: NodeNetwork, folder: Path) -> None:
    """Run the node's process again and again; its id is in `node.pid`, its output in `node.log`."""
    command = enter_command(node, [sys.executable, "-m", "tests.local.node.pods_only", str(folder / "node.json")])
    with (folder / "node.log").open("ab") as log:
        while True:
            await run_once(command, folder, log)


async def run_once(command: tuple[str, ...], folder: Path, log: IO[bytes]) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    (folder / "node.pid").write_text(str(process.pid))
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))))
