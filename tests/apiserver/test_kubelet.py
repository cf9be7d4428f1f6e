import socket
from pathlib import Path

import aiohttp

from isthmus.kit.http import Request, Stream, accept_websocket, answer, serve
from tests.apiserver.calling import HOME, Api, client_tls, pod, serving

PODS = f"{HOME}/pods"


async def node(request: Request) -> Stream:
    """Answers as a node does: what it was asked for, or a shell that says everything back."""
    if request.path.startswith("/exec/"):
        shell = await accept_websocket(request, ["v5.channel.k8s.io"])
        async for message in shell:
            await shell.send_bytes(b"\x01" + message.data[1:])
            await shell.close()
        return shell
    return answer(200, request.path_qs.encode(), "text/plain")


def at(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "kubelet.sock"))
    return listener


async def bound(api: Api, name: str, *containers: str) -> None:
    spec = [{"name": each, "image": "host"} for each in containers]
    await api("POST", PODS, pod(name, containers=spec, nodeName="n"))


async def test_logs_come_from_the_node(tmp_path: Path) -> None:
    async with serve(node, [at(tmp_path)]), serving(tmp_path, kubelet=tmp_path / "kubelet.sock") as api:
        await bound(api, "a", "c")
        answer = await api("GET", f"{PODS}/a/log?tailLines=3&follow=true&nonsense=1")
        assert answer.body["text"] == "/containerLogs/default/a/c?follow=true&tailLines=3"


async def test_a_shell_is_joined_to_the_node(tmp_path: Path) -> None:
    async with serve(node, [at(tmp_path)]), serving(tmp_path, kubelet=tmp_path / "kubelet.sock") as api:
        await bound(api, "a", "c")
        tls = client_tls(api.server, tmp_path, "someone", ("system:masters",))
        url = f"{api.server.url}{PODS}/a/exec?command=cat&stdin=true&stdout=true"
        protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, ssl=tls, protocols=protocols) as shell,
        ):
            assert shell.protocol == "v5.channel.k8s.io"
            await shell.send_bytes(b"\x00hello")
            assert await shell.receive_bytes() == b"\x01hello"


async def test_which_container_is_meant_has_to_be_clear(tmp_path: Path) -> None:
    async with serve(node, [at(tmp_path)]), serving(tmp_path, kubelet=tmp_path / "kubelet.sock") as api:
        await bound(api, "a", "c", "d")
        assert (await api("GET", f"{PODS}/a/log")).code == 400
        assert (await api("GET", f"{PODS}/a/log?container=x")).code == 400
        assert (await api("GET", f"{PODS}/a/log?container=d")).body["text"] == "/containerLogs/default/a/d"
        await api("POST", PODS, pod("homeless"))
        assert (await api("GET", f"{PODS}/homeless/log")).code == 400
        assert (await api("GET", f"{PODS}/none/log")).code == 404


async def test_a_node_that_is_away_is_said_so(tmp_path: Path) -> None:
    async with serving(tmp_path, kubelet=tmp_path / "kubelet.sock") as api:
        await bound(api, "a", "c")
        refused = await api("GET", f"{PODS}/a/log")
        assert (refused.code, refused.body["kind"]) == (500, "Status")
        assert "error dialing backend" in refused.message
