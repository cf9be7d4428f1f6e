"""Which pods a node takes, and what becomes of them when its process dies."""

import os
import signal
from pathlib import Path

import pytest

from isthmus.api.core import PODS
from isthmus.api.scheme import Manifest, Resource
from isthmus.kube.client import DeleteOptions
from tests.local.node.conftest import Cluster, condition, container, once, shell, wait_until

pytestmark = pytest.mark.node

WHOLE_NODES: Resource[Manifest] = Resource("", "v1", "nodes", "Node", dict, namespaced=False)


async def test_the_node_is_there_and_ready(cluster: Cluster) -> None:
    async def registered() -> bool:
        return any(condition(node, "Ready") == "True" for node in (await cluster.client.list(WHOLE_NODES)).items)

    await wait_until(registered)
    node = await cluster.client.get(WHOLE_NODES, "east-node")
    assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "east-1"
    assert node["metadata"]["labels"]["topology.kubernetes.io/region"] == "east"
    assert node["spec"]["podCIDRs"] == ["10.1.0.0/17", "fd69:1::/64"]
    assert {"type": "InternalIP", "address": "10.0.0.1"} in node["status"]["addresses"]
    assert condition(node, "Ready") == "True"


async def test_a_pod_goes_only_where_its_selector_fits(cluster: Cluster) -> None:
    await cluster.make("fits", once("true") | {"nodeSelector": {"disk": "fast"}})
    await cluster.over("fits")
    await cluster.make("alien", once("true") | {"nodeSelector": {"disk": "slow"}})
    pod = await cluster.when("alien", lambda pod: condition(pod, "PodScheduled") == "False")
    assert "nodeName" not in pod["spec"]


async def test_a_pod_bound_elsewhere_is_left_alone(cluster: Cluster) -> None:
    await cluster.make("elsewhere", once("true") | {"nodeName": "another-node"})
    await cluster.make("here", once("true"))
    await cluster.over("here")
    assert (await cluster.get("elsewhere"))["status"].get("containerStatuses") is None


async def test_a_gate_of_somebody_else_holds_back_readiness(cluster: Cluster) -> None:
    spec = {"readinessGates": [{"conditionType": "example.com/open"}], "containers": [shell("sleep 60")]}
    await cluster.make("gated", spec)
    await cluster.when("gated", lambda pod: condition(pod, "ContainersReady") == "True")
    assert condition(await cluster.get("gated"), "Ready") == "False"
    pod = await cluster.get("gated")
    opened = {"type": "example.com/open", "status": "True"}
    patch = {"status": {"conditions": [*pod["status"]["conditions"], opened]}}
    await cluster.client.merge_patch(PODS, "gated", patch, namespace="default", subresource="status")
    pod = await cluster.ready("gated")
    assert condition(pod, "example.com/open") == "True"


async def test_a_pod_removed_by_force_ends_too(cluster: Cluster) -> None:
    await cluster.make(
        "forced",
        {"terminationGracePeriodSeconds": 600, "containers": [shell("trap '' TERM; while :; do sleep 0.1; done")]},
    )
    await cluster.ready("forced")
    before = cluster.stage.processes()
    await cluster.client.delete(PODS, "forced", namespace="default", options=DeleteOptions(grace=0))
    await cluster.gone("forced")

    async def fewer() -> bool:
        return len(cluster.stage.processes() & before) < len(before)

    await wait_until(fewer)


async def test_pods_of_one_name_one_after_the_other_are_different_pods(cluster: Cluster) -> None:
    seen = set()
    for turn in range(3):
        await cluster.make("again", {"containers": [shell(f"echo {turn}; sleep 60")]})
        pod = await cluster.ready("again")
        seen.add(pod["status"]["podIP"])
        await cluster.remove("again", grace=0)
        await cluster.gone("again")
    assert len(seen) == 3


async def test_after_a_crash_of_the_node_its_pods_come_back_under_their_addresses(cluster: Cluster) -> None:
    # An address that is free again: the next node would begin with it.
    await cluster.make("first", once("true"))
    await cluster.over("first")
    await cluster.remove("first")
    await cluster.gone("first")
    script = "echo $$$$ run; exec sleep 600"
    for name in ("left", "right"):
        await cluster.make(name, {"containers": [shell(script)]})
    before = {name: await cluster.ready(name) for name in ("left", "right")}
    await cluster.make("single", once("sleep 600"))
    await cluster.ready("single")
    processes = cluster.stage.processes()
    crashed = cluster.stage.node_pid
    cluster.stage.kill_node()
    for name in ("left", "right"):
        pod = await cluster.when(
            name, lambda pod: container(pod)["restartCount"] == 1 and condition(pod, "Ready") == "True"
        )
        assert pod["status"]["podIPs"] == before[name]["status"]["podIPs"]
        assert container(pod)["lastState"]["terminated"]["exitCode"] == 255
    pod = await cluster.over("single")
    assert pod["status"]["phase"] == "Failed"
    # Nothing of before the crash is left: the stage itself, which is no child of itself, aside.
    assert cluster.stage.node_pid != crashed
    assert not cluster.stage.processes() & processes
    await cluster.make("fresh", {"containers": [shell("sleep 60")]})
    pod = await cluster.ready("fresh")
    assert pod["status"]["podIP"] not in {each["status"]["podIP"] for each in before.values()}


async def test_a_crash_of_the_spawner_is_a_crash_of_the_node(cluster: Cluster) -> None:
    await cluster.make("kept", {"containers": [shell("sleep 600")]})
    await cluster.ready("kept")
    found = [pid for pid in cluster.stage.processes() if is_spawner(pid)]
    os.kill(max(found), signal.SIGKILL)
    await cluster.when("kept", lambda pod: container(pod)["restartCount"] == 1 and condition(pod, "Ready") == "True")


async def test_what_was_deleted_while_no_node_ran_leaves_no_files(cluster: Cluster) -> None:
    await cluster.make("orphan", {"containers": [shell("sleep 600")]})
    pod = await cluster.ready("orphan")
    folder = cluster.stage.folder / "east" / "pods" / pod["metadata"]["uid"]
    assert folder.is_dir()
    cluster.stage.kill_node()
    await cluster.remove("orphan", grace=0)

    logs = cluster.stage.folder / "east" / "logs" / "pods"

    async def removed() -> bool:
        return not folder.exists() and not list(logs.glob(f"*{pod['metadata']['uid']}"))

    await wait_until(removed)


def is_spawner(pid: int) -> bool:
    try:
        return b"isthmus.local.node.spawner" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def test_what_was_said_of_a_pod_that_is_over_stays_said(cluster: Cluster) -> None:
    await cluster.make("late", {"activeDeadlineSeconds": 1, "containers": [shell("sleep 600")]})
    before = await cluster.over("late")
    await cluster.make("witness", {"containers": [shell("sleep 600")]})
    await cluster.ready("witness")
    cluster.stage.kill_node()
    await cluster.when("witness", lambda pod: container(pod)["restartCount"] == 1 and condition(pod, "Ready") == "True")
    assert (await cluster.get("late"))["status"] == before["status"]
    await cluster.remove("late")
    await cluster.gone("late")
