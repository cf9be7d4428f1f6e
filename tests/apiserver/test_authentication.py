from pathlib import Path

import pytest

from isthmus.apiserver.authentication import ISSUER, Tokens
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.kinds import BUILT_IN, Kinds
from isthmus.apiserver.pki import PKI
from tests.apiserver.calling import HOME, Api, pod
from tests.apiserver.test_serve import anonymous

TOKEN = f"{HOME}/serviceaccounts/default/token"


async def token_for(api: Api, **spec: object) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = await api("POST", TOKEN, request)
    assert answer.code == 201
    return str(answer.body["status"]["token"])


async def test_a_token_speaks_for_its_service_account_while_that_is_there(api: Api, tmp_path: Path) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    token = await token_for(api)
    assert await anonymous(api, "/apis", token) == 200
    review = {"spec": {"token": token}}
    status = (await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)).body["status"]
    assert status["user"]["username"] == "system:serviceaccount:default:default"
    assert "system:serviceaccounts:default" in status["user"]["groups"]
    # The next account of that name is another one.
    await api("DELETE", f"{HOME}/serviceaccounts/default")
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    assert await anonymous(api, "/apis", token) == 401


async def test_a_token_bound_to_a_pod_goes_with_it(api: Api, tmp_path: Path) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    await api("POST", f"{HOME}/pods", pod("a"))
    token = await token_for(api, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "a"})
    assert await anonymous(api, "/apis", token) == 200
    await api("DELETE", f"{HOME}/pods/a")
    assert await anonymous(api, "/apis", token) == 401


async def test_a_token_for_somebody_else_is_refused(api: Api, tmp_path: Path) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    token = await token_for(api, audiences=["vault"])
    assert await anonymous(api, "/apis", token) == 401


@pytest.mark.parametrize("spoil", ["signature", "claims", "nothing"])
async def test_a_forged_token_is_refused(api: Api, tmp_path: Path, spoil: str) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    head, body, signature = (await token_for(api)).split(".")
    forged = {
        "signature": f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        "claims": f"{head}.{body[:-4]}AAAA.{signature}",
        "nothing": "not.a.token",
    }[spoil]
    assert await anonymous(api, "/apis", forged) == 401


async def test_a_token_of_another_cluster_or_time_is_refused(api: Api, tmp_path: Path) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    account = (await api("GET", f"{HOME}/serviceaccounts/default")).body["metadata"]
    cluster = Cluster("east", api.server.storage, Kinds(BUILT_IN))
    named = {"namespace": "default", "serviceaccount": {"name": "default", "uid": account["uid"]}}
    claims = {"iss": ISSUER, "aud": [ISSUER], "nbf": 0, "exp": 1 << 40, "kubernetes.io": named}
    ours = Tokens(cluster, api.server.pki.signing_key())
    theirs = Tokens(cluster, PKI.create(tmp_path / "other", "west", ["localhost"]).signing_key())
    assert await anonymous(api, "/apis", ours.issue(claims)) == 200
    assert await anonymous(api, "/apis", theirs.issue(claims)) == 401
    assert await anonymous(api, "/apis", ours.issue(claims | {"exp": 1})) == 401
    assert await anonymous(api, "/apis", ours.issue(claims | {"iss": "https://else"})) == 401


@pytest.mark.parametrize(
    ("spec", "code"),
    [({"expirationSeconds": 5}, 422), ({"boundObjectRef": {"kind": "Pod", "name": "none"}}, 404)],
)
async def test_a_token_that_cannot_be_is_not_issued(api: Api, spec: dict[str, object], code: int) -> None:
    await api.until("GET", f"{HOME}/serviceaccounts/default", 200)
    assert (await api("POST", TOKEN, {"spec": spec})).code == code
