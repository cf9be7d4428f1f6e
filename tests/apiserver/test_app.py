"""The server as users meet it: as a process of its own, and by stock kubectl."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import sysconfig
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml

from isthmus.api.core import CONFIG_MAPS
from isthmus.api.scheme import Manifest
from isthmus.apiserver.pki import PKI
from isthmus.errors import IsthmusError
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from tests.apiserver.calling import Api, config_map, widget, widget_definition

KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"
LIMIT = 30.0
Kubectl: TypeAlias = Callable[..., Awaitable[str]]

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: host, command: [sleep, "100"], ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""


class Child:
    """`python -m isthmus.apiserver` with its state in a folder, behind a socket that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.pki = PKI.create(folder / "pki", "east", ["127.0.0.1"])
        config = {
            "name": "east",
            "pki": str(folder / "pki"),
            "state": str(folder / "state.db"),
            "listeners": [self.listener.fileno()],
        }
        (folder / "config.json").write_text(json.dumps(config))
        server = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(self.pki.client_config(server, "admin", ["system:masters"])))
        self.process: Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "isthmus.apiserver", "--config", str(self.folder / "config.json")),
            stderr=(self.folder / "log").open("ab"),
            pass_fds=[self.listener.fileno()],
        )

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), LIMIT)


@contextlib.asynccontextmanager
async def child(folder: Path) -> AsyncIterator[Child]:
    made = Child(folder)
    await made.start()
    try:
        yield made
    finally:
        await made.end(signal.SIGKILL)
        made.listener.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not holds():
            await asyncio.sleep(0.01)


async def test_what_was_answered_is_there_after_kill_9_under_load(tmp_path: Path) -> None:
    answered: list[str] = []

    async def write(client: Client, worker: int) -> None:
        for count in range(10_000):
            name = f"m-{worker}-{count}"
            await client.create(CONFIG_MAPS, config_map(name), namespace="default")
            answered.append(name)

    async with child(tmp_path) as server:
        async with Client(load_kubeconfig([server.kubeconfig])) as client:
            workers = [asyncio.ensure_future(write(client, number)) for number in range(8)]
            await until(lambda: len(answered) >= 100)
            await server.end(signal.SIGKILL)
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
        assert all(isinstance(each, IsthmusError) for each in outcomes)
        await server.start()
        async with Client(load_kubeconfig([server.kubeconfig])) as client:
            listed = await client.list(CONFIG_MAPS, namespace="default")
    assert set(answered) <= {each["metadata"]["name"] for each in listed.items}


async def test_a_second_server_on_the_same_state_says_so_and_ends(tmp_path: Path) -> None:
    async with child(tmp_path) as server:
        async with Client(load_kubeconfig([server.kubeconfig])) as client:
            await client.list(CONFIG_MAPS, namespace="default")
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "isthmus.apiserver", "--config", str(tmp_path / "config.json")),
            stderr=PIPE,
            pass_fds=[server.listener.fileno()],
        )
        _, said = await asyncio.wait_for(second.communicate(), LIMIT)
    assert second.returncode == 1
    assert "end the other process" in said.decode()
    assert "Traceback" not in said.decode()


async def test_sigterm_ends_it_without_a_traceback(tmp_path: Path) -> None:
    async with child(tmp_path) as server:
        async with Client(load_kubeconfig([server.kubeconfig])) as client:
            await client.list(CONFIG_MAPS, namespace="default")
        assert await server.end(signal.SIGTERM) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("content", ["{", '{"name": "east"}', '{"name": "east", "pki": "x", "colour": "red"}'])
async def test_a_config_that_makes_no_sense_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "isthmus.apiserver", "--config", str(path), stderr=PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), LIMIT)
    assert process.returncode == 2
    assert str(path) in said.decode()
    assert "Traceback" not in said.decode()


@pytest.fixture
def kubectl(api: Api, tmp_path: Path) -> Kubectl:
    """Stock kubectl against the server; its output, or its complaint."""
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump(api.server.kubeconfig()))

    async def run(*arguments: str, given: str = "", code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            f"--kubeconfig={config}",
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path)},
        )
        out, complaint = await asyncio.wait_for(process.communicate(given.encode()), LIMIT)
        assert process.returncode == code, complaint.decode()
        return (out + complaint).decode()

    return run


async def test_kubectl_applies_on_its_side_and_on_ours(kubectl: Kubectl) -> None:
    first = await kubectl("apply", "-f", "-", given=SHOP)
    assert [line.rpartition(" ")[2] for line in first.splitlines()] == ["created"] * 3
    assert (await kubectl("apply", "-f", "-", given=SHOP)).count("unchanged") == 3
    changed = await kubectl("apply", "-f", "-", given=SHOP.replace("replicas: 2", "replicas: 3"))
    assert changed.count("configured") == 1
    assert (await kubectl("apply", "--server-side", "-f", "-", given=SHOP)).count("serverside-applied") == 3
    assert "2" in await kubectl("get", "deploy/web", "-n", "shop", "-o", "jsonpath={.spec.replicas}")


async def test_kubectl_is_told_of_mistakes(kubectl: Kubectl) -> None:
    typo = SHOP.replace("replicas:", "replcas:")
    assert 'unknown field "spec.replcas"' in await kubectl("apply", "-f", "-", given=typo, code=1)
    assert "not found" in await kubectl("get", "ns/nowhere", code=1)
    assert "doesn't have a resource type" in await kubectl("get", "ingresses", code=1)
    assert "no matches for kind" in await kubectl("apply", "-f", "-", given=yaml.safe_dump(widget("a")), code=1)


async def test_kubectl_shows_objects(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SHOP)
    services = (await kubectl("get", "svc", "-n", "shop")).splitlines()
    assert services[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert services[1].split()[1] == "ClusterIP"
    everything = await kubectl("get", "all", "-A")
    assert "deployment.apps/web" in everything
    assert "service/kubernetes" in everything
    described = await kubectl("describe", "deploy", "web", "-n", "shop")
    assert "2 desired" in described


async def test_kubectl_changes_labels_patches_scales_and_deletes(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SHOP)
    web = ("-n", "shop", "deploy/web")
    await kubectl("label", *web, "tier=front")
    await kubectl("annotate", *web, "note=hello")
    await kubectl("patch", *web, "-p", '{"spec":{"paused":true}}')
    await kubectl("patch", *web, "--type=json", "-p", '[{"op":"remove","path":"/spec/paused"}]')
    await kubectl("scale", *web, "--replicas=5")
    found: Manifest = json.loads(await kubectl("get", *web, "-o", "json"))
    assert (found["spec"]["replicas"], found["metadata"]["labels"]) == (5, {"tier": "front"})
    await kubectl("set", "image", *web, "c=other")
    await kubectl("delete", *web, "--wait")
    await kubectl("delete", "ns", "shop", "--wait")
    assert "shop" not in await kubectl("get", "ns")


async def test_kubectl_speaks_protobuf_for_kinds_it_knows(kubectl: Kubectl) -> None:
    assert "system:masters" in await kubectl("auth", "whoami")
    assert (await kubectl("auth", "can-i", "delete", "pods")).strip() == "yes"
    assert (await kubectl("create", "token", "default")).count(".") == 2
    await kubectl("create", "configmap", "a", "--from-literal=k=v")
    await kubectl("create", "secret", "generic", "a", "--from-literal=k=v")
    await kubectl("create", "deployment", "web", "--image=host", "--port=80", "--replicas=2")
    found: Manifest = json.loads(await kubectl("get", "deploy/web", "cm/a", "secret/a", "-o", "json"))
    deployment, config, secret = found["items"]
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP"}
    ]
    assert (config["data"], secret["data"]) == ({"k": "v"}, {"k": "dg=="})


async def test_kubectl_waits_for_and_uses_custom_kinds(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=yaml.safe_dump(widget_definition()))
    await kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")
    await kubectl("apply", "-f", "-", given=yaml.safe_dump(widget("a", spec={"size": 5})))
    assert (await kubectl("get", "wd")).splitlines()[1].split() == ["a", "5"]
    refused = await kubectl("patch", "wd", "a", "--type=merge", "-p", '{"spec":{"size":0}}', code=1)
    assert "spec.size in body should be greater than or equal to 1" in refused
    await kubectl("delete", "crd", "widgets.example.com", "--wait")


async def test_kubectl_explains_kinds_of_both_sorts(kubectl: Kubectl) -> None:
    assert "image\t<string>" in await kubectl("explain", "deployment.spec.template.spec.containers")
    await kubectl("apply", "-f", "-", given=yaml.safe_dump(widget_definition()))
    # A kubectl that knows no kinds yet.
    assert "colour\t<string>" in await kubectl("--cache-dir=fresh", "explain", "widgets.spec")


async def test_kubectl_shows_what_an_apply_would_change(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SHOP)
    changed = await kubectl("diff", "-f", "-", given=SHOP.replace("replicas: 2", "replicas: 3"), code=1)
    assert "+  replicas: 3" in changed
    assert await kubectl("diff", "-f", "-", given=SHOP) == ""


async def test_kubectl_watches(kubectl: Kubectl, api: Api) -> None:
    watch = asyncio.ensure_future(kubectl("get", "cm", "-w", "--output-watch-events", "--request-timeout=3s", code=0))
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT):
        while not watch.done():
            await api("POST", "/api/v1/namespaces/default/configmaps", config_map("seen"))
            await api("DELETE", "/api/v1/namespaces/default/configmaps/seen")
            await asyncio.sleep(0.05)
    told = [line.split()[:2] for line in watch.result().splitlines()]
    assert ["ADDED", "kube-root-ca.crt"] in told
    assert ["DELETED", "seen"] in told
