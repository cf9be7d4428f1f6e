"""The main job: a service exported in one cluster answers by name in the others."""

import json

import pytest

from tests.end_to_end.conftest import CommandLine, eventually

NAME = "shop.prod.svc.clusterset.local"


@pytest.mark.requirement("MCS-30", "MCS-45")
def test_a_hand_written_manifest_answers_curl_in_another_cluster(shop: CommandLine) -> None:
    assert "<title>Directory listing" in shop.curl("west")


@pytest.mark.requirement("MCS-81")
def test_the_name_resolves_in_a_pod_by_its_own_resolver(shop: CommandLine) -> None:
    ips = json.loads(shop.well("services", "--from", "west", "-o", "json"))[0]["ips"]
    resolved = shop.well("exec", "-n", "prod", "west", "customer", "--", "getent", "ahosts", NAME)
    assert set(ips) <= {line.split()[0] for line in resolved.splitlines()}


def test_resolve_asks_as_a_pod_would(shop: CommandLine) -> None:
    ips = json.loads(shop.well("services", "--from", "west", "-o", "json"))[0]["ips"]
    assert shop.well("resolve", NAME, "--from", "west").split()[-1] == ips[0]
    missing = shop("resolve", "nobody.prod.svc.clusterset.local", "--from", "west")
    assert missing.returncode == 1
    assert "NXDOMAIN" in missing.stderr


def test_kubectl_shows_type_and_addresses(shop: CommandLine) -> None:
    lines = shop.kubectl_well("west", "get", "svcim", "-A").splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "TYPE", "IP", "AGE"]
    assert lines[1].split()[:3] == ["prod", "shop", "ClusterSetIP"]


@pytest.mark.requirement("MCS-14", "MCS-20")
def test_kubectl_describes_the_conditions_of_an_export(shop: CommandLine) -> None:
    said = shop.kubectl_well("east", "describe", "svcex", "shop", "-n", "prod")
    assert "Valid" in said
    assert "Exported" in said
    assert "NoConflicts" in said


def test_services_tells_type_addresses_exporters_and_endpoints(shop: CommandLine) -> None:
    (row,) = json.loads(shop.well("services", "--from", "west", "-o", "json"))
    assert (row["namespace"], row["name"], row["type"]) == ("prod", "shop", "ClusterSetIP")
    assert (row["exporters"], row["endpoints"], row["ready"], row["conflicts"]) == (["east"], 2, "True", "")
    assert row["ips"]
    assert "ClusterSetIP" in shop.well("services")
    assert "http:80/TCP" in shop.well("services", "-o", "wide")


def test_what_is_unexported_is_gone_and_comes_back(shop: CommandLine) -> None:
    shop.well("unexport", "shop", "-n", "prod", "--cluster", "east")
    eventually(lambda: not json.loads(shop.well("services", "--from", "west", "-o", "json")), "the import is gone")
    assert shop.curl("west") == ""
    shop.well("export", "shop", "-n", "prod", "--cluster", "east")
    eventually(lambda: shop.curl("west"), "the shop answers again")


def test_the_hub_is_not_needed_to_go_on(shop: CommandLine) -> None:
    shop.well("stop", "hub")
    try:
        assert shop.answered("west", 10) == 10
        shop.kubectl_well("east", "scale", "deployment/shop", "-n", "prod", "--replicas=3")
        eventually(
            lambda: json.loads(shop.well("services", "--from", "east", "-o", "json"))[0]["endpoints"] == 3,
            "east sees its own third endpoint without the hub",
        )
    finally:
        shop.well("start", "hub")
    shop.kubectl_well("east", "scale", "deployment/shop", "-n", "prod", "--replicas=2")
    eventually(
        lambda: json.loads(shop.well("services", "--from", "west", "-o", "json"))[0]["endpoints"] == 2,
        "west has the endpoints of now",
    )


def test_logs_and_exit_codes_pass_through(shop: CommandLine) -> None:
    pod = shop.kubectl_well("east", "get", "pods", "-n", "prod", "-l", "app=shop", "-o", "name").splitlines()[0]
    eventually(
        lambda: "GET /" in shop.well("logs", "east", pod.removeprefix("pod/"), "-n", "prod"), "requests are logged"
    )
    assert shop("exec", "-n", "prod", "west", "customer", "--", "sh", "-c", "exit 7").returncode == 7


def test_a_stopped_cluster_is_reached_at_once_when_it_is_started_again(shop: CommandLine) -> None:
    shop.well("stop", "east")
    assert shop.units()["east"]["state"] == "stopped"
    shop.well("start", "east")
    eventually(lambda: shop.curl("west"), "the shop answers again")
