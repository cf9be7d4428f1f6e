"""What is refused says what is wrong, where, and what to do next; never a traceback, and nothing half made."""

import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ISTHMUS, CommandLine, eventually

BAD_MANIFESTS = [
    pytest.param("kind: [", "yaml", id="not YAML"),
    pytest.param("just words", "invalid object", id="YAML, but no object"),
    pytest.param("apiVersion: v1\nkind: Wagon\nmetadata: {name: x}", 'no matches for kind "Wagon"', id="unknown kind"),
    pytest.param(
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 70000}]}",
        "spec.ports[0].port",
        id="a value out of range",
    ),
    pytest.param(
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {wheels: 4, ports: [{port: 80}]}",
        'unknown field "spec.wheels"',
        id="an unknown field",
    ),
    pytest.param(
        "apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceExport\nmetadata: {name: x}\n"
        "spec: {exportedLabels: 7}",
        "spec.exportedLabels",
        id="a field of the wrong type",
    ),
    pytest.param("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: UPPER}", "metadata.name", id="a bad name"),
]


@pytest.mark.parametrize(("manifest", "said"), BAD_MANIFESTS)
def test_a_bad_manifest_is_refused_and_nothing_is_made(isthmus: CommandLine, manifest: str, said: str) -> None:
    done = isthmus.kubectl("west", "create", "-n", "prod", "-f", "-", stdin=manifest)
    assert done.returncode != 0
    assert said.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    missing = isthmus.kubectl("west", "get", "service,configmap,svcex", "x", "-n", "prod", "--ignore-not-found")
    assert missing.stdout == ""


def test_a_manifest_over_the_limit_is_refused(isthmus: CommandLine) -> None:
    large = json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"k": "x" * 1_600_000}}
    )
    done = isthmus.kubectl("west", "create", "-n", "prod", "-f", "-", stdin=large)
    assert done.returncode != 0
    assert "too long" in done.stderr.lower() or "too large" in done.stderr.lower()


def test_a_second_up_beside_the_first_changes_nothing(isthmus: CommandLine) -> None:
    before = isthmus.units()
    isthmus.well("up")
    assert {name: unit["pid"] for name, unit in isthmus.units().items()} == {
        name: unit["pid"] for name, unit in before.items()
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("up", "--clusters", "East"), "lower-case letters", id="a bad cluster name"),
        pytest.param(("up", "--clusters", "hub"), "reserved", id="a reserved name"),
        pytest.param(("up", "--set", "a/b"), "set name", id="a set name that is a path"),
        pytest.param(("stop", "south"), "there are: hub, east, west", id="a cluster that is not there"),
        pytest.param(("export", "nobody", "--cluster", "east"), "has no Service default/nobody", id="no such service"),
        pytest.param(("unexport", "nobody", "--cluster", "east"), "isthmus services", id="not exported"),
        pytest.param(("services", "--from", "south"), "no cluster 'south'", id="seen from nowhere"),
        pytest.param(("exec", "west", "nobody", "--", "true"), "not found", id="no such pod"),
        pytest.param(("logs", "west", "nobody"), "not found", id="no logs of no pod"),
    ],
)
def test_a_command_that_cannot_be_says_why(isthmus: CommandLine, words: tuple[str, ...], said: str) -> None:
    done = isthmus(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_set_that_is_not_there_names_the_command_that_makes_it(isthmus: CommandLine) -> None:
    for words in (("status",), ("services",), ("resolve", "x.clusterset.local")):
        done = isthmus(*words, "--set", "nowhere")
        assert done.returncode in {1, 3}
        assert "isthmus up" in done.stderr


def test_a_taken_port_is_named_with_who_has_it(tmp_path: Path, short_folder: Path) -> None:
    isthmus = CommandLine(short_folder, name="taken")
    folder = short_folder / "isthmus" / "taken"
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        record = {"clusters": {"hub": {"number": 0, "port": port}, "east": {"number": 1, "port": port}}}
        (folder / "set.json").write_text(json.dumps(record))
        done = isthmus("up", "--set", "taken")
    isthmus("down", "--set", "taken")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}, the API server of hub, is taken" in done.stderr


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param("{", "agent.yaml", id="not YAML"),
        pytest.param("apiVersion: v1\nkind: Config\ncurrent-context: gone", "gone", id="without its context"),
    ],
)
def test_an_agent_with_a_bad_kubeconfig_ends_with_one_sentence(tmp_path: Path, config: str, said: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(config)
    done = CommandLine(tmp_path)(
        "agent", f"--hub-kubeconfig={path}", f"--kubeconfig={path}", "--cluster=east", "--set=prod"
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def another_set(folder: Path, name: str) -> Iterator[CommandLine]:
    """A set beside the session's, which is taken down whatever happens."""
    other = CommandLine(folder, name=name)
    try:
        yield other
    finally:
        other("down", "--set", name)


def test_two_sets_live_beside_each_other_and_leave_nothing(short_folder: Path, isthmus: CommandLine) -> None:
    with another_set(short_folder, "other") as other:
        other.well("up", "--set", "other", "--clusters", "solo")
        pids = [int(str(unit["pid"])) for unit in other.units().values()]
        assert "solo-node" in other.kubectl_well("solo", "get", "nodes")
        assert isthmus.units()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "its processes are gone", 10)
    assert not (short_folder / "isthmus" / "other").exists()
    assert isthmus.units()


def up_killed_in_the_middle(half: CommandLine) -> None:
    command = [str(ISTHMUS), "up", "--set", half.name, "--clusters", "solo"]
    environment = os.environ | {"XDG_STATE_HOME": str(half.home)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as begun:
        eventually((half.home / "isthmus" / half.name / "lock").exists, "its supervisor starts", 20)
        begun.send_signal(signal.SIGKILL)


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_text(errors="replace").replace("\0", " ")


def supervisor_log(half: CommandLine) -> str:
    log = half.home / "isthmus" / half.name / "supervisor.log"
    return log.read_text() if log.exists() else ""


def test_up_killed_in_the_middle_is_finished_by_the_next(short_folder: Path) -> None:
    with another_set(short_folder, "half") as half:
        up_killed_in_the_middle(half)
        half.well("up", "--set", "half", "--clusters", "solo")
        assert "solo-node" in half.kubectl_well("solo", "get", "nodes")


def test_up_waits_for_a_supervisor_that_starts_or_ends(short_folder: Path) -> None:
    with another_set(short_folder, "half") as half, ThreadPoolExecutor() as threads:
        folder = short_folder / "isthmus" / "half"
        folder.mkdir(parents=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            begun = threads.submit(half.well, "up", "--set", "half", "--clusters", "solo")
            eventually(lambda: "another supervisor" in supervisor_log(half), "the lock was found taken", 20)
        begun.result()
        assert "solo-node" in half.kubectl_well("solo", "get", "nodes")


def test_down_after_an_up_killed_in_the_middle_leaves_nothing(short_folder: Path) -> None:
    half = CommandLine(short_folder, name="half")
    up_killed_in_the_middle(half)
    half.well("down", "--set", "half")
    assert not [line for line in command_lines() if f"{short_folder}/isthmus half" in line]
    assert not (short_folder / "isthmus" / "half").exists()
