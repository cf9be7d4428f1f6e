"""What a credential plugin is asked and answers."""

import json

import pytest

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.inventory.rules.plugins import Asked, answer, asked, kubeconfig_secret_config, secret_config

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
CLUSTER: Manifest = {"server": "https://east.example", "config": {"clusterName": "east"}}


def info(cluster: object = CLUSTER, version: str = V1) -> str:
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": {"cluster": cluster}})


@pytest.mark.requirement("CRED-9", "CRED-12")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (info(version="client.authentication.k8s.io/v2"), "is none of"),
        (json.dumps({"apiVersion": V1}), "server is missing"),
        (info(None), "server is missing"),
        (info({"config": {}}), "server is missing"),
        (info(CLUSTER | {"server": None}), "server is missing"),
        (info(CLUSTER | {"server": "  "}), "server is missing"),
        (info({"server": "x"}), "config is missing"),
        (info({"server": "x", "config": None}), "config is missing"),
        (info({"server": "x", "config": "clusterName"}), "no object"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(text: str | None, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        asked(text)


@pytest.mark.requirement("CRED-12")
@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_the_answer_is_in_the_version_asked_for(version: str) -> None:
    question = asked(info(version=version))
    assert json.loads(answer(question, token="t")) == {
        "apiVersion": version,
        "kind": "ExecCredential",
        "status": {"token": "t"},
    }


@pytest.mark.requirement("CRED-9")
def test_certificate_and_key_are_pem_and_nothing_says_when_they_end() -> None:
    told = json.loads(answer(Asked(V1, {}), certificate="-----BEGIN", key="-----BEGIN"))
    assert told["status"] == {"clientCertificateData": "-----BEGIN", "clientKeyData": "-----BEGIN"}


@pytest.mark.requirement("CRED-12")
def test_the_configuration_has_upstreams_keys() -> None:
    assert secret_config(Asked(V1, {"clusterName": "east", "more": 1})).cluster_name == "east"
    found = kubeconfig_secret_config(Asked(V1, {"name": "s", "key": "k", "namespace": "n", "context": "c"}))
    assert (found.name, found.key, found.namespace, found.context) == ("s", "k", "n", "c")


@pytest.mark.requirement("CRED-12")
def test_a_configuration_without_what_is_required_is_refused() -> None:
    for config in ({}, {"clusterName": ""}, {"clusterName": 1}, {"clustername": "east"}):
        with pytest.raises(Invalid, match=r"clusterName|length"):
            secret_config(Asked(V1, dict(config)))
    for incomplete in ({"name": "s"}, {"key": "k"}, {"name": "", "key": "k"}):
        with pytest.raises(Invalid):
            kubeconfig_secret_config(Asked(V1, dict(incomplete)))
