import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest

from tests.apiserver.calling import APPS, HOME, MERGE, TABLE, Api, client_tls, config_map, pod, serving

DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "host"}]}},
    },
}


async def anonymous(api: Api, path: str, token: str = "") -> int:
    """The code that a caller without a certificate gets."""
    tls = ssl.create_default_context(cafile=str(api.server.pki.ca))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = api.server.url + path
    async with aiohttp.ClientSession() as session, session.get(url, ssl=tls, headers=headers) as response:
        return response.status


@pytest.mark.parametrize(
    ("path", "code"),
    [
        *[(path, 200) for path in ("/healthz", "/readyz", "/livez", "/version")],
        *[(path, 403) for path in ("/api", "/apis", "/api/v1/pods", "/openapi/v3", "/", "/nothing")],
    ],
)
async def test_without_a_certificate_or_token_only_health_is_told(api: Api, path: str, code: int) -> None:
    assert await anonymous(api, path) == code


async def test_a_client_certificate_is_its_subject(api: Api, tmp_path: Path) -> None:
    tls = client_tls(api.server, tmp_path, "isthmus:member:east", ("agents",))
    async with aiohttp.ClientSession() as session:
        url = f"{api.server.url}/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with session.post(url, ssl=tls, json={}) as response:
            info = (await response.json())["status"]["userInfo"]
    [credential] = info.pop("extra")["authentication.kubernetes.io/credential-id"]
    assert credential.startswith("X509SHA256=")
    assert info == {"username": "isthmus:member:east", "groups": ["agents", "system:authenticated"]}


@pytest.mark.parametrize(
    "path",
    [
        "/apis/rbac.authorization.k8s.io/v1beta1/clusterroles",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "/apis/apps/v1beta1/deployments",
        "/api/v1/persistentvolumeclaims",
        "/api/v1/namespaces/default/nodes",
        f"{HOME}/configmaps/a/status",
        f"{HOME}/configmaps/a/b/c",
        "/api//v1/pods",
    ],
)
async def test_what_is_not_served_is_refused_with_a_status(api: Api, path: str) -> None:
    answer = await api("GET", path)
    assert (answer.code, answer.body["kind"], answer.reason) == (404, "Status", "NotFound")


@pytest.mark.parametrize("path", ["/openapi/v2", "/foo", "/apis/example.com/v1/widgets"])
async def test_what_nobody_serves_is_no_page(api: Api, path: str) -> None:
    answer = await api("GET", path)
    assert (answer.code, answer.body["text"]) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/namespaces"),
        ("PUT", f"{HOME}/configmaps"),
        ("POST", f"{HOME}/configmaps/a"),
        ("PATCH", "/version"),
        ("GET", "/apis/authentication.k8s.io/v1/tokenreviews"),
        ("GET", f"{HOME}/pods/a/eviction"),
    ],
)
async def test_a_verb_that_a_path_does_not_have_is_refused(api: Api, method: str, path: str) -> None:
    answer = await api(method, path, config_map("a") if method != "GET" else None)
    assert (answer.code, answer.reason) == (405, "MethodNotAllowed")


async def test_a_form_that_cannot_be_given_is_refused(api: Api) -> None:
    answer = await api("GET", f"{HOME}/configmaps", headers={"Accept": "text/html"})
    assert (answer.code, answer.reason) == (406, "NotAcceptable")
    assert (await api("GET", f"{HOME}/configmaps", headers={"Accept": "text/html, */*"})).code == 200


async def test_an_answer_can_be_yaml(api: Api) -> None:
    answer = await api("GET", f"{HOME}/configmaps/kube-root-ca.crt", headers={"Accept": "application/yaml"})
    assert answer.body["text"].startswith("apiVersion: v1\n")


async def test_discovery_is_one_document_or_many_that_agree(api: Api) -> None:
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    whole = (await api("GET", "/apis", headers=accept)).body
    assert whole["kind"] == "APIGroupDiscoveryList"
    groups = (await api("GET", "/apis")).body["groups"]
    assert [each["metadata"]["name"] for each in whole["items"]] == [each["name"] for each in groups]
    for each in whole["items"]:
        version = each["versions"][0]
        listed = (await api("GET", f"/apis/{each['metadata']['name']}/{version['version']}")).body["resources"]
        assert [r["resource"] for r in version["resources"]] == [r["name"] for r in listed if "/" not in r["name"]]


async def test_a_deployment_is_scaled(api: Api) -> None:
    await api("POST", f"{APPS}/deployments", DEPLOYMENT)
    scaled = await api("PATCH", f"{APPS}/deployments/web/scale", {"spec": {"replicas": 4}}, media=MERGE)
    assert (scaled.body["kind"], scaled.body["status"]["selector"]) == ("Scale", "a=b")
    deployment = (await api("GET", f"{APPS}/deployments/web")).body
    assert (deployment["spec"]["replicas"], deployment["metadata"]["generation"]) == (4, 2)
    refused = await api("PATCH", f"{APPS}/deployments/web/scale", {"spec": {"replicas": -1}}, media=MERGE)
    assert refused.code == 422


async def test_a_pod_is_bound_to_a_node_once(api: Api) -> None:
    await api("POST", f"{HOME}/pods", pod("a"))
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await api("POST", f"{HOME}/pods/a/binding", binding)).code == 201
    assert (await api("GET", f"{HOME}/pods/a")).body["spec"]["nodeName"] == "n1"
    assert (await api("POST", f"{HOME}/pods/a/binding", binding)).code == 409


async def test_events_of_both_groups_are_the_same(api: Api) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"},
        "reason": "Started",
        "message": "it runs",
        "type": "Normal",
    }
    await api("POST", f"{HOME}/events", event)
    other = await api("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (other.body["apiVersion"], other.body["note"]) == ("events.k8s.io/v1", "it runs")
    assert other.body["regarding"]["name"] == "a"
    assert (await api("GET", f"{HOME}/events?fieldSelector=involvedObject.name=a")).names == ["e"]


async def test_a_full_disk_refuses_writes_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    async with serving(tmp_path, state=True) as api:
        made = await api("POST", f"{HOME}/configmaps", config_map("a"))
        api.server.storage.limit_disk(0)
        full = await api("POST", f"{HOME}/configmaps", config_map("b", data={"k": "x" * 500_000}))
        assert (full.code, full.body["kind"]) == (507, "Status")
        assert (await api("GET", f"{HOME}/configmaps/b")).code == 404
        assert (await api("GET", f"{HOME}/configmaps/a")).body == made.body
        api.server.storage.limit_disk(1 << 30)
        assert (await api("POST", f"{HOME}/configmaps", config_map("b"))).code == 201


async def test_requests_that_hang_up_do_no_harm(api: Api) -> None:
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port)
        writer.write(b"\x16\x03\x01 nonsense")
        writer.close()
        assert reader is not None
    assert (await api("GET", "/healthz")).code == 200


@pytest.mark.parametrize("path", ["namespaces", "services", "pods", "nodes", "events", "secrets", "endpoints"])
async def test_every_core_kind_has_a_table(api: Api, path: str) -> None:
    table = (await api("GET", f"/api/v1/{path}", headers={"Accept": TABLE})).body
    assert table["kind"] == "Table"
    assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"] or ())
