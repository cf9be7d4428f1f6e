"""Who may do what in a set on this machine: pods nothing, processes what their roles say, people as in Kubernetes."""

import base64
import json

import pytest
import yaml
from cryptography import x509

from isthmus.install.roles import AGENT_USER, DNS_USER, HUB_USER, member_user
from tests.end_to_end.conftest import CommandLine, eventually

# In a pod, with what every pod has.
ASK = (
    'T=/var/run/secrets/kubernetes.io/serviceaccount; curl -s --cacert $T/ca.crt -H "Authorization: Bearer '
    '$(cat $T/token)" https://kubernetes.default.svc.cluster.local/api/v1/namespaces/prod/{}'
)


def asked(shop: CommandLine, resource: str) -> dict[str, object]:
    """What the API server answers the customer."""
    said = shop.well("exec", "-n", "prod", "west", "customer", "--", "sh", "-c", ASK.format(resource))
    answer: dict[str, object] = json.loads(said)
    return answer


def test_a_pods_token_may_do_what_its_account_is_bound_to_and_nothing_else(shop: CommandLine) -> None:
    refused = asked(shop, "pods")
    user = "system:serviceaccount:prod:default"
    told = f'User "{user}" cannot list resource "pods" in API group "" in the namespace "prod"'
    assert (refused["code"], refused["message"]) == (403, f"pods is forbidden: {told}")
    bind = ("-n", "prod", "create", "rolebinding", "viewers", "--clusterrole=view", "--serviceaccount=prod:default")
    shop.kubectl_well("west", *bind)
    try:
        assert asked(shop, "pods")["kind"] == "PodList"
        assert asked(shop, "secrets")["code"] == 403
    finally:
        shop.kubectl_well("west", "-n", "prod", "delete", "rolebinding", "viewers")


@pytest.mark.parametrize(
    ("file", "user"),
    [
        ("west/isthmus-agent", AGENT_USER),
        ("west/isthmus-dns", DNS_USER),
        ("west/agent-hub", member_user("west")),
        ("hub/isthmus-hub", HUB_USER),
    ],
)
def test_our_own_processes_are_no_masters(shop: CommandLine, file: str, user: str) -> None:
    config = yaml.safe_load((shop.home / "isthmus" / shop.name / f"{file}.kubeconfig").read_text())
    pem = base64.b64decode(config["users"][0]["user"]["client-certificate-data"])
    subject = x509.load_pem_x509_certificate(pem).subject
    assert [(each.rfc4514_attribute_name, each.value) for each in subject] == [("CN", user)]


@pytest.mark.requirement("MCS-109")
def test_what_stands_in_for_an_import_is_changed_by_its_agent_alone(shop: CommandLine) -> None:
    selector = ("-n", "prod", "-l", "multicluster.kubernetes.io/service-name=shop")
    (derived,) = shop.kubectl_well("west", "get", "services", *selector, "-o", "name").split()
    refused = shop.kubectl("west", "-n", "prod", "patch", derived, "-p", '{"spec":{"selector":{"app":"mine"}}}')
    assert refused.returncode != 0
    assert "ValidatingAdmissionPolicy 'isthmus-derived-services'" in refused.stderr
    assert shop.kubectl("west", "-n", "prod", "delete", derived).returncode != 0
    eventually(lambda: shop.curl("west"), "the shop goes on answering")
