"""Logs and commands, by stock kubectl through the API server."""

import subprocess
import time

import pytest

from tests.local.node.conftest import KUBECTL, Cluster, once, shell, wait_until

pytestmark = pytest.mark.node


async def test_logs_as_kubectl_shows_them(cluster: Cluster) -> None:
    await cluster.make("lines", once("for n in 1 2 3 4; do echo line $n; done; echo oops >&2; printf tail"))
    await cluster.over("lines")
    kubectl = cluster.stage.kubectl
    assert kubectl("logs", "lines", "--tail=3").stdout.splitlines() == ["line 4", "oops", "tail"]
    everything = kubectl("logs", "lines").stdout
    assert everything == "line 1\nline 2\nline 3\nline 4\noops\ntail"
    stamped = kubectl("logs", "lines", "--timestamps", "--limit-bytes=20").stdout
    assert stamped[4] == "-"
    assert len(stamped) == 20
    assert kubectl("logs", "lines", "--since-time=2100-01-01T00:00:00Z").stdout == ""
    assert kubectl("logs", "lines", "--since=1h").stdout == everything


async def test_logs_are_followed_to_the_end(cluster: Cluster) -> None:
    await cluster.make("told", once("for n in 1 2 3 4 5; do echo $n; sleep 0.1; done"))
    await cluster.when("told", lambda pod: "running" in str(pod["status"].get("containerStatuses")))
    followed = cluster.stage.kubectl("logs", "-f", "told")
    assert followed.stdout == "1\n2\n3\n4\n5\n"


async def test_what_has_no_logs_is_refused(cluster: Cluster) -> None:
    await cluster.make("silent", {"containers": [shell("sleep 60")]})
    await cluster.ready("silent")
    kubectl = cluster.stage.kubectl
    assert 'previous terminated container "main" in pod "silent" not found' in kubectl("logs", "silent", "-p").stderr
    assert "container nobody is not valid for pod silent" in kubectl("logs", "silent", "-c", "nobody").stderr
    await cluster.make("never", {"containers": [{"name": "main", "image": "nginx"}]})
    await cluster.when("never", lambda pod: "CreateContainerError" in str(pod["status"]))
    assert "is waiting to start: CreateContainerError" in kubectl("logs", "never").stderr


async def test_commands_run_in_the_container(cluster: Cluster) -> None:
    await cluster.make("target", {"containers": [shell("sleep 600", env=[{"name": "A", "value": "b"}])]})
    await cluster.ready("target")
    kubectl = cluster.stage.kubectl
    done = kubectl("exec", "target", "--", "sh", "-c", "hostname; echo $A; echo no >&2; exit 3")
    assert (done.stdout, done.returncode) == ("target\nb\n", 3)
    assert "no\n" in done.stderr
    assert (
        kubectl("exec", "-i", "target", "--", "sh", "-c", "read a; echo got $a; cat", stdin="x\ny\n").stdout
        == "got x\ny\n"
    )
    assert "executable file not found" in kubectl("exec", "target", "--", "nonesuch").stderr
    big = kubectl("exec", "target", "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' a").stdout
    assert len(big) == 3_000_000


async def test_a_terminal_is_a_terminal(cluster: Cluster) -> None:
    await cluster.make("tty", {"containers": [shell("sleep 600")]})
    await cluster.ready("tty")
    command = [*kubectl_command(cluster), "exec", "-it", "tty", "--", "sh", "-c", "tty && stty size && echo $TERM"]
    said = subprocess.run(
        ["script", "-qec", " ".join(f"'{part}'" for part in command), "/dev/null"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert "/dev/pts/" in said.stdout
    assert "xterm" in said.stdout


async def test_a_command_ends_when_its_client_goes(cluster: Cluster) -> None:
    await cluster.make("left", {"containers": [shell("sleep 600")]})
    await cluster.ready("left")
    client = subprocess.Popen([*kubectl_command(cluster), "exec", "left", "--", "sleep", "4711"])
    counts = "ps ax | grep -c '[s]leep 4711'"

    async def runs() -> bool:
        return cluster.stage.kubectl("exec", "left", "--", "sh", "-c", counts).stdout.strip() != "0"

    await wait_until(runs)
    client.kill()
    client.wait()

    async def ended() -> bool:
        return not await runs()

    await wait_until(ended)


async def test_exec_needs_a_running_container(cluster: Cluster) -> None:
    await cluster.make("done", once("true"))
    await cluster.over("done")
    began = time.monotonic()
    refused = cluster.stage.kubectl("exec", "done", "--", "true")
    assert refused.returncode != 0
    assert "is not running" in refused.stderr or "completed" in refused.stderr
    assert time.monotonic() - began < 10


def kubectl_command(cluster: Cluster) -> list[str]:
    return [str(KUBECTL), f"--kubeconfig={cluster.stage.kubeconfig}"]
