"""What our processes look like in a cluster, and whose each object of an installation is."""

from pathlib import Path

import pytest

from isthmus.errors import Invalid
from isthmus.install.hub import TUNNEL, TUNNEL_URL, HubOptions, hub_manifests
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.install.workloads import INSTALLATION_LABEL, SHARED, Tuning


@pytest.mark.parametrize("name", ["prod", "isthmus"])
def test_two_installations_share_one_namespace_and_one_priority_whatever_their_set_is_called(name: str) -> None:
    shared = [
        (each["kind"], each["metadata"]["name"])
        for each in hub_manifests(HubOptions(name, ("isthmus",)))
        if each["metadata"]["labels"][INSTALLATION_LABEL] == SHARED
    ]
    assert shared == [("Namespace", "isthmus-system"), ("PriorityClass", "isthmus")]


def test_agents_dial_in_at_one_proxy_server_whatever_the_number_of_pods() -> None:
    made = hub_manifests(HubOptions("prod", tunnel=TUNNEL_URL, tuning=Tuning(3)))
    replicas = {each["metadata"]["name"]: each["spec"]["replicas"] for each in made if each["kind"] == "Deployment"}
    assert replicas == {"isthmus-hub-prod": 3, "isthmus-tunnel": 1}
    (rules,) = (each["rules"] for each in made if (each["kind"], each["metadata"]["name"]) == ("ClusterRole", TUNNEL))
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [
        (["tokenreviews"], ["create"]),
        (["members"], ["list", "watch"]),
    ]


def test_the_tunnels_port_for_consumers_is_for_marked_namespaces_and_the_others_for_all() -> None:
    made = {
        (each["kind"], each["metadata"]["name"]): each for each in hub_manifests(HubOptions("p", tunnel=TUNNEL_URL))
    }
    policy, pods = (made[kind, TUNNEL]["spec"] for kind in ("NetworkPolicy", "Deployment"))
    assert policy["podSelector"] == pods["selector"]
    consumers, others = policy["ingress"]
    assert consumers["from"] == [{"namespaceSelector": {"matchLabels": {"isthmus.dev/tunnel": "consumer"}}}]
    assert "from" not in others
    (container,) = pods["template"]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert [each["port"] for each in consumers["ports"]] == [ports.pop("consumers")]
    assert {each["port"] for each in others["ports"]} == set(ports.values())
    assert not [each for each in hub_manifests(HubOptions("p")) if each["kind"] == "NetworkPolicy"]


def test_a_tunnel_has_an_address() -> None:
    with pytest.raises(Invalid, match="http://HOST:PORT"):
        HubOptions("prod", tunnel="tunnel.example:8132")
    with pytest.raises(Invalid, match="begin with https://"):
        MemberOptions("prod", "east", "", tunnel="http://tunnel.example")


def test_nothing_is_no_number_of_pods() -> None:
    with pytest.raises(Invalid, match="0 replicas run nothing"):
        Tuning(replicas=0)


def test_what_processes_ask_for_is_what_the_docs_say() -> None:
    made = (*hub_manifests(HubOptions("prod", tunnel=TUNNEL_URL)), *member_manifests(MemberOptions("prod", "east", "")))
    containers = {
        each["metadata"]["name"].removesuffix("-prod"): each["spec"]["template"]["spec"]["containers"][0]["resources"]
        for each in made
        if each["kind"] == "Deployment"
    }
    docs = (Path(__file__).parents[2] / "docs" / "install.md").read_text()
    assert containers.keys() == {"isthmus-hub", "isthmus-tunnel", "isthmus-agent", "isthmus-dns"}
    for name, resources in containers.items():
        assert f"| `{name}` | {resources['requests']['cpu']} | {resources['requests']['memory']} |" in docs
