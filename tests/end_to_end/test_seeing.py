"""What a user is told of the set: `clusters`, `describe`, and `doctor --context` on the road of one member."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import yaml

from tests.end_to_end.conftest import ISTHMUS, CommandLine, eventually

NAME = "shop.prod.svc.clusterset.local"
STEPS = ["rights", "CRDs", "agent", "hub", "lease", "clock", "export", "import", "slices", "DNS", "endpoint"]


def walked(shop: CommandLine, cluster: str) -> dict[str, str]:
    """What doctor said of each step, the mark included."""
    lines = shop("doctor", "--context", cluster).stdout.splitlines()
    return {line.split()[1]: line for line in lines}


def broken(shop: CommandLine, cluster: str) -> str:
    """The step at which doctor found the road broken; empty if it is whole."""
    return next((step for step, line in walked(shop, cluster).items() if line.startswith("mend")), "")


@contextlib.contextmanager
def frozen(shop: CommandLine, unit: str) -> Iterator[None]:
    """One process of the set does nothing meanwhile."""
    pid = int(str(shop.units()[unit]["pid"]))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_doctor_walks_the_whole_road_of_a_member(shop: CommandLine) -> None:
    eventually(lambda: not broken(shop, "west"), "the road is whole")
    found = walked(shop, "west")
    assert list(found) == STEPS
    assert found["DNS"].startswith(f"ok    DNS       {NAME} is 10.")
    assert found["endpoint"].endswith("(prod/shop) takes connections")
    assert {step for step, line in found.items() if line.startswith("skip")} == {"export"}


def test_doctor_names_the_first_step_that_is_broken(shop: CommandLine) -> None:
    eventually(lambda: not broken(shop, "west"), "the road is whole")
    with frozen(shop, "west/dns"):
        assert broken(shop, "west") == "DNS"
    eventually(lambda: not broken(shop, "west"), "names are answered again")
    shop.kubectl_well("east", "scale", "deployment/shop", "-n", "prod", "--replicas=0")
    eventually(lambda: broken(shop, "west") == "slices", "nothing backs the shop")
    assert "none of its exporters (east) has one" in walked(shop, "west")["slices"]
    shop.kubectl_well("east", "scale", "deployment/shop", "-n", "prod", "--replicas=2")
    eventually(lambda: not broken(shop, "west"), "the shop is backed again")
    shop.well("stop", "hub")
    try:
        assert broken(shop, "west") == "hub"
        assert "cannot be reached" in walked(shop, "west")["hub"]
    finally:
        shop.well("start", "hub")
    eventually(lambda: not broken(shop, "west"), "the hub answers again")


def test_clusters_of_the_set_on_this_machine_need_no_option(shop: CommandLine) -> None:
    rows = {row["name"]: row for row in json.loads(shop.well("clusters", "-o", "json"))}
    assert set(rows) == {"east", "west"}
    assert {row["health"] for row in rows.values()} == {"Healthy"}
    assert rows["east"]["exports"] == 1
    assert "prod/shop" in shop.well("describe", "cluster", "east")


def test_changes_of_clusters_are_printed_as_they_come(shop: CommandLine) -> None:
    watching = subprocess.Popen(
        [ISTHMUS, "clusters", "--watch", "-o", "yaml"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"XDG_STATE_HOME": str(shop.home), "PYTHONUNBUFFERED": "1"},
    )
    assert watching.stdout is not None
    heard: list[str] = []
    output = watching.stdout
    reading = threading.Thread(target=lambda: heard.extend(iter(output.readline, "")), daemon=True)
    reading.start()
    try:
        eventually(lambda: "".join(heard).count("name: ") >= 2, "both clusters are printed")
        before = len(heard)
        said = {
            "apiVersion": "about.k8s.io/v1beta1",
            "kind": "ClusterProperty",
            "metadata": {"name": "tier.example.com"},
            "spec": {"value": "gold"},
        }
        shop.kubectl_well("east", "apply", "-f", "-", stdin=yaml.safe_dump(said))
        eventually(lambda: "tier.example.com: gold" in "".join(heard[before:]), "the change is printed")
        assert "name: west\n" not in heard[before:]
    finally:
        shop.kubectl("east", "delete", "clusterproperty", "tier.example.com")
        watching.kill()
        watching.wait()
