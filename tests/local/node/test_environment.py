"""A container's variables."""

import pytest

from isthmus.api.core import Service, ServicePort, ServiceSpec
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.local.node.environment import expand, field_value, host_name, service_links, variables
from tests.local.node.pods import facts, pod


def found(container: Manifest) -> dict[str, str]:
    of = pod({"containers": [{"name": "main", "command": ["true"]} | container]}, labels={"app": "shop"})
    return variables(of.spec.containers[0], facts(of), {"S_HOST": "10.1.128.1"})


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("$(A) and $(B)", "1 and $(B)", id="what is known is replaced, what is not stays"),
        pytest.param("$$(A)", "$(A)", id="a doubled dollar escapes"),
        pytest.param("$A $", "$A $", id="a dollar alone is a dollar"),
        pytest.param("$$$(A)", "$1", id="an escape, then a reference"),
    ],
)
def test_references_expand(text: str, want: str) -> None:
    assert expand(text, {"A": "1"}) == want


@pytest.mark.parametrize(
    ("container", "want"),
    [
        pytest.param({}, {"HOSTNAME": "shop-0", "HOME": "/", "S_HOST": "10.1.128.1"}, id="what every container has"),
        pytest.param(
            {"env": [{"name": "A", "value": "x"}, {"name": "B", "value": "$(A)$(S_HOST)"}]},
            {"B": "x10.1.128.1"},
            id="variables refer to earlier ones and to services",
        ),
        pytest.param(
            {"envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "key"}}]},
            {"P_A": None, "P_a": "1", "P_b": "2", "k": "hush"},
            id="whole objects",
        ),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]},
            {"A": "hush"},
            id="one key",
        ),
        pytest.param(
            {
                "env": [
                    {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "z", "optional": True}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "nobody", "key": "z", "optional": True}}},
                ]
            },
            {"A": None, "B": None},
            id="what is optional may be missing",
        ),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]},
            {"A": "shop"},
            id="a label",
        ),
    ],
)
def test_variables_hold_what_their_sources_say(container: Manifest, want: dict[str, str | None]) -> None:
    everything = found(container)
    assert {name: everything.get(name) for name in want} == want


@pytest.mark.parametrize(
    ("variable", "want"),
    [
        pytest.param(
            {"valueFrom": {"configMapKeyRef": {"name": "nobody", "key": "a"}}},
            'configmap "nobody" not found',
            id="no object",
        ),
        pytest.param(
            {"valueFrom": {"secretKeyRef": {"name": "key", "key": "a"}}}, "couldn't find key a in Secret", id="no key"
        ),
        pytest.param(
            {"valueFrom": {"fieldRef": {"fieldPath": "spec.secret"}}}, "cannot be asked for", id="no such field"
        ),
        pytest.param({"value": "a\0b"}, "no program takes this variable", id="a value with NUL"),
        pytest.param({"value": "a" * 200_000}, "no program takes this variable", id="a value that is too long"),
    ],
)
def test_what_is_missing_is_named(variable: Manifest, want: str) -> None:
    with pytest.raises(Invalid, match=want):
        found({"env": [{"name": "A"} | variable]})


def test_fields_of_the_pod() -> None:
    of = facts(pod({"hostname": "zero"}, labels={"b": 'say "hi"\n', "a": "1"}))
    assert field_value("metadata.labels", of) == 'a="1"\nb="say \\"hi\\"\\n"'
    assert field_value("status.podIPs", of) == "10.1.0.2,fd69:1::2"
    assert host_name(of.pod) == "zero"
    assert len(host_name(pod(name="a" * 62 + "-b"))) == 62


def test_services_are_told_as_variables() -> None:
    ports = (ServicePort(name="http", port=80), ServicePort(name="dns-udp", port=53, protocol="UDP"))
    shop = Service(metadata=ObjectMeta(name="my-shop"), spec=ServiceSpec(cluster_ip="10.1.128.7", ports=ports))
    headless = Service(metadata=ObjectMeta(name="none"), spec=ServiceSpec(cluster_ip="None", ports=ports))
    assert service_links([shop, headless]) == {
        "MY_SHOP_SERVICE_HOST": "10.1.128.7",
        "MY_SHOP_SERVICE_PORT": "80",
        "MY_SHOP_PORT": "tcp://10.1.128.7:80",
        "MY_SHOP_SERVICE_PORT_HTTP": "80",
        "MY_SHOP_SERVICE_PORT_DNS_UDP": "53",
    }
