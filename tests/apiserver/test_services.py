from pathlib import Path

import pytest

from isthmus.api.scheme import Manifest
from tests.apiserver.calling import HOME, MERGE, Api, service, serving

SERVICES = f"{HOME}/services"


@pytest.mark.parametrize(
    ("spec", "families", "policy"),
    [
        pytest.param({}, ["IPv4"], "SingleStack", id="nothing said"),
        pytest.param({"ipFamilies": ["IPv6"]}, ["IPv6"], "SingleStack", id="another family"),
        pytest.param({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"], "PreferDualStack", id="both, if there"),
        pytest.param(
            {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]},
            ["IPv6", "IPv4"],
            "RequireDualStack",
            id="both, IPv6 first",
        ),
        pytest.param(
            {"clusterIP": "None"}, ["IPv4", "IPv6"], "RequireDualStack", id="headless, of somebody else's endpoints"
        ),
        pytest.param({"clusterIP": "None", "selector": {"a": "b"}}, ["IPv4"], "SingleStack", id="headless"),
        pytest.param({"clusterIP": "fd69:1:1::99"}, ["IPv6"], "SingleStack", id="the family of the address asked for"),
    ],
)
async def test_families_follow_the_policy(api: Api, spec: Manifest, families: list[str], policy: str) -> None:
    made = (await api("POST", SERVICES, service("a", **spec))).body["spec"]
    assert (made["ipFamilies"], made["ipFamilyPolicy"]) == (families, policy)
    addresses = made["clusterIPs"]
    assert addresses[0] == made["clusterIP"]
    if spec.get("clusterIP") != "None":
        assert ["IPv6" if ":" in each else "IPv4" for each in addresses] == families


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"clusterIP": "1.2.3.4"}, "spec.clusterIPs", id="out of range"),
        pytest.param({"clusterIP": "10.1.128.1"}, "spec.clusterIPs", id="taken"),
        pytest.param({"clusterIP": "nonsense"}, "spec.clusterIPs[0]", id="no address"),
        pytest.param({"clusterIP": "10.1.128.9", "clusterIPs": ["10.1.128.8"]}, "spec.clusterIPs", id="two first ones"),
        pytest.param({"ipFamilies": ["IPv4", "IPv6"]}, "spec.ipFamilyPolicy", id="two families, single stack"),
        pytest.param({"ipFamilies": ["IPv9"]}, "spec.ipFamilies[0]", id="no family"),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}, "spec.ports[0].nodePort", id="port"
        ),
    ],
)
async def test_addresses_that_cannot_be_are_refused_by_field(api: Api, spec: Manifest, field: str) -> None:
    refused = await api("POST", SERVICES, service("a", **spec))
    assert refused.code == 422
    assert field in [cause["field"] for cause in refused.body["details"]["causes"]]


async def test_an_address_asked_for_is_given_and_free_again_after_deletion(api: Api) -> None:
    wanted = service("a", clusterIP="10.1.200.7")
    assert (await api("POST", SERVICES, wanted)).code == 201
    assert (await api("POST", SERVICES, service("b", clusterIP="10.1.200.7"))).code == 422
    await api("DELETE", f"{SERVICES}/a")
    assert (await api("POST", SERVICES, service("b", clusterIP="10.1.200.7"))).code == 201


async def test_a_refused_or_rehearsed_service_takes_no_address(api: Api) -> None:
    await api("POST", f"{SERVICES}?dryRun=All", service("a", clusterIP="10.1.200.7"))
    await api("POST", SERVICES, service("a", clusterIP="10.1.200.8", ports=[{"port": 0}]))
    for name, address in (("b", "10.1.200.7"), ("c", "10.1.200.8")):
        assert (await api("POST", SERVICES, service(name, clusterIP=address))).code == 201


async def test_low_addresses_are_left_to_those_who_ask_by_number(api: Api) -> None:
    given = [(await api("POST", SERVICES, service(f"s{n}"))).body["spec"]["clusterIP"] for n in range(20)]
    assert len(set(given)) == 20
    assert not {f"10.1.128.{n}" for n in range(20)} & set(given)


async def test_an_update_without_addresses_keeps_them_and_one_with_others_is_refused(api: Api) -> None:
    made = (await api("POST", SERVICES, service("a"))).body["spec"]["clusterIP"]
    kept = await api("PUT", f"{SERVICES}/a", service("a", ports=[{"port": 81}]))
    assert kept.body["spec"]["clusterIP"] == made
    refused = await api("PUT", f"{SERVICES}/a", service("a", clusterIP="10.1.200.9"))
    assert refused.body["details"]["causes"][0]["field"] == "spec.clusterIPs[0]"


async def test_a_second_family_comes_and_goes_by_policy(api: Api) -> None:
    first = (await api("POST", SERVICES, service("a"))).body["spec"]["clusterIP"]
    both = await api("PATCH", f"{SERVICES}/a", {"spec": {"ipFamilyPolicy": "PreferDualStack"}}, media=MERGE)
    assert both.body["spec"]["clusterIPs"][0] == first
    assert both.body["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    single = await api("PATCH", f"{SERVICES}/a", {"spec": {"ipFamilyPolicy": "SingleStack"}}, media=MERGE)
    assert single.body["spec"]["clusterIPs"] == [first]


async def test_a_service_that_points_outside_has_no_address(api: Api) -> None:
    outside = {"spec": {"type": "ExternalName", "externalName": "a.example.com"}}
    await api("POST", SERVICES, service("a", clusterIP="10.1.200.7"))
    changed = (await api("PATCH", f"{SERVICES}/a", outside, media=MERGE)).body["spec"]
    assert "clusterIP" not in changed
    assert (await api("POST", SERVICES, service("b", clusterIP="10.1.200.7"))).code == 201
    back = await api("PATCH", f"{SERVICES}/a", {"spec": {"type": "ClusterIP", "externalName": None}}, media=MERGE)
    assert back.body["spec"]["clusterIP"]


async def test_node_ports_are_given_once_and_go_with_the_type(api: Api) -> None:
    given = [
        (await api("POST", SERVICES, service(name, type="NodePort"))).body["spec"]["ports"][0]["nodePort"]
        for name in "ab"
    ]
    assert len(set(given)) == 2
    assert all(30000 <= port <= 32767 for port in given)
    plain = await api("PATCH", f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}}, media=MERGE)
    assert plain.body["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


async def test_addresses_taken_before_a_restart_stay_taken(tmp_path: Path) -> None:
    async with serving(tmp_path, state=True) as api:
        made = (await api("POST", SERVICES, service("a"))).body["spec"]["clusterIP"]
    async with serving(tmp_path, state=True) as api:
        assert (await api("POST", SERVICES, service("b", clusterIP=made))).code == 422
        assert (await api("POST", SERVICES, service("c"))).body["spec"]["clusterIP"] != made
