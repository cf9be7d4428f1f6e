"""Policies of an embedded server: at once, after a restart, and never in the way of the server itself.

That they say what a kube-apiserver says is the matter of tests/differential.
"""

from pathlib import Path

import pytest

from isthmus.api.scheme import Manifest
from tests.apiserver.calling import Api, config_map, serving

VERSION = "admissionregistration.k8s.io/v1"
POLICIES = f"/apis/{VERSION}/validatingadmissionpolicies"
BINDINGS = f"/apis/{VERSION}/validatingadmissionpolicybindings"
MAPS = "/api/v1/namespaces/default/configmaps"


def policy(*expressions: str, **rule: object) -> Manifest:
    about = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"], **rule}
    checks = [{"expression": each, "message": "not so"} for each in expressions]
    spec = {"matchConstraints": {"resourceRules": [about]}, "validations": checks}
    return {"apiVersion": VERSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec}


def binding(*actions: str) -> Manifest:
    spec = {"policyName": "p", "validationActions": list(actions or ("Deny",))}
    return {"apiVersion": VERSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"}, "spec": spec}


async def in_force(api: Api, made: Manifest, *actions: str) -> None:
    assert (await api("POST", POLICIES, made)).code == 201
    assert (await api("POST", BINDINGS, binding(*actions))).code == 201


async def test_a_policy_holds_from_its_binding_on_and_no_longer_than_that(api: Api) -> None:
    assert (await api("POST", POLICIES, policy("false"))).code == 201
    assert (await api("POST", MAPS, config_map("before"))).code == 201
    await api("POST", BINDINGS, binding())
    refused = await api("POST", MAPS, config_map("after"))
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not so" in refused.message
    assert (await api("DELETE", f"{BINDINGS}/b")).code == 200
    assert (await api("POST", MAPS, config_map("after"))).code == 201


async def test_a_changed_policy_is_the_one_that_holds(api: Api) -> None:
    await in_force(api, policy("false"))
    found = (await api("GET", f"{POLICIES}/p")).body
    found["spec"]["validations"] = [{"expression": "object == null || object.metadata.name != 'no'"}]
    changed = await api("PUT", f"{POLICIES}/p", found)
    assert changed.body["metadata"]["generation"] == 2
    assert (await api("POST", MAPS, config_map("yes"))).code == 201
    assert (await api("POST", MAPS, config_map("no"))).code == 422


async def test_policies_hold_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, state=True) as api:
        await in_force(api, policy("object == null || object.metadata.name.startsWith('a')"))
    async with serving(tmp_path, state=True) as api:
        assert (await api("POST", MAPS, config_map("b"))).code == 422
        assert (await api("POST", MAPS, config_map("a"))).code == 201


async def test_what_the_server_does_itself_is_nobodys_to_refuse(api: Api) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    await in_force(api, policy("request.operation != 'DELETE'"))
    inside = "/api/v1/namespaces/shop/configmaps"
    assert (await api("POST", inside, config_map("a"))).code == 201
    assert (await api("DELETE", f"{inside}/a")).code == 422
    await api("DELETE", "/api/v1/namespaces/shop")
    await api.until("GET", "/api/v1/namespaces/shop", 404)


async def test_policies_cannot_be_kept_from_their_admin(api: Api) -> None:
    await in_force(api, policy("false", apiGroups=["*"], apiVersions=["*"], resources=["*/*"]))
    assert (await api("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})).code == 422
    assert (await api("DELETE", f"{POLICIES}/p")).code == 200


@pytest.mark.parametrize("actions", [("Warn",), ("Warn", "Audit")], ids=["warn", "warn and audit"])
async def test_who_is_only_warned_is_told_with_the_answer(api: Api, actions: tuple[str, ...]) -> None:
    await in_force(api, policy("false"), *actions)
    made = await api("POST", MAPS, config_map("a"))
    told = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': not so"
    assert (made.code, made.headers["Warning"]) == (201, f'299 - "{told}"')


async def test_an_expression_that_takes_too_much_refuses_one_write_and_stops_nobody(api: Api) -> None:
    await in_force(api, policy("object == null || object.data.big.replace('a', object.data.big).size() > 0"))
    refused = await api("POST", MAPS, config_map("a", data={"big": "a" * 200_000}))
    assert refused.code == 422
    assert "operation cancelled: actual cost limit exceeded" in refused.message
    assert (await api("POST", MAPS, config_map("b", data={"big": "a"}))).code == 201
