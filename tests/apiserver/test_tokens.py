from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from isthmus.kit.clock import FakeClock
from tests.apiserver.calling import HOME, Api, pod, serving
from tests.apiserver.test_authentication import token_for
from tests.apiserver.test_serve import anonymous

NODE = {"metadata": {"name": "n"}}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))


@pytest.fixture
async def aged(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Api]:
    """A server whose time passes by hand."""
    async with serving(tmp_path, clock=clock) as api:
        await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
        yield api


@pytest.mark.parametrize(
    ("spec", "lasts"),
    [({}, 3600), ({"expirationSeconds": 600}, 600), ({"expirationSeconds": 3607}, 3607)],
    ids=["an hour unless asked for", "ten minutes at least", "as asked"],
)
async def test_a_token_ends_a_minute_after_its_time(
    aged: Api, clock: FakeClock, spec: dict[str, object], lasts: int
) -> None:
    token = await token_for(aged, **spec)
    await clock.advance(lasts + 50)
    assert await anonymous(aged, "/apis", token) == 200
    await clock.advance(20)
    assert await anonymous(aged, "/apis", token) == 401


async def test_a_pods_token_outlives_programs_that_read_it_once(tmp_path: Path) -> None:
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "a"}
    async with serving(tmp_path, state=True) as api:
        await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
        await api("POST", f"{HOME}/pods", pod("a"))
        token = await token_for(api, boundObjectRef=bound, expirationSeconds=3607)
        elsewhere = await token_for(api, boundObjectRef=bound, expirationSeconds=3607, audiences=["vault"])
    nearly_a_year_later = FakeClock(datetime.now(UTC) + timedelta(days=364))
    async with serving(tmp_path, state=True, clock=nearly_a_year_later) as api:
        assert await anonymous(api, "/apis", token) == 200
        review = {"spec": {"token": elsewhere, "audiences": ["vault"]}}
        status = (await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)).body["status"]
        assert "has expired" in status["error"]


@pytest.mark.parametrize(
    ("kind", "path", "obj"),
    [("Secret", f"{HOME}/secrets", {"metadata": {"name": "n"}}), ("Node", "/api/v1/nodes", NODE)],
)
async def test_a_token_goes_with_what_it_is_bound_to(api: Api, kind: str, path: str, obj: object) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    assert (await api("POST", path, obj)).code == 201
    token = await token_for(api, boundObjectRef={"kind": kind, "apiVersion": "v1", "name": "n"})
    assert await anonymous(api, "/apis", token) == 200
    await api("DELETE", f"{path}/n")
    assert (await api("POST", path, obj)).code == 201
    assert await anonymous(api, "/apis", token) == 401


async def test_a_pods_token_names_its_node(api: Api) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    node = (await api("POST", "/api/v1/nodes", NODE)).body
    await api("POST", f"{HOME}/pods", pod("a", nodeName="n"))
    token = await token_for(api, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "a"})
    review = await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    extra = review.body["status"]["user"]["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == ["n"]
    assert extra["authentication.kubernetes.io/node-uid"] == [node["metadata"]["uid"]]
    # That the node is gone is not the pod's token's end.
    await api("DELETE", "/api/v1/nodes/n")
    assert await anonymous(api, "/apis", token) == 200


async def test_a_token_is_powerless_until_its_account_is_bound_to_a_role(api: Api) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    token = await token_for(api)
    assert await anonymous(api, f"{HOME}/configmaps", token) == 403
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    assert (await api("POST", path, binding)).code == 201
    assert await anonymous(api, f"{HOME}/configmaps", token) == 200
    assert await anonymous(api, f"{HOME}/secrets", token) == 403
