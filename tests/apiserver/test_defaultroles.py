from pathlib import Path

import pytest

from isthmus.api.scheme import Manifest
from tests.apiserver.calling import MERGE, Api, serving

RBAC = "/apis/rbac.authorization.k8s.io/v1"
KEPT_BY_HAND = {"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}}
EMPTIED: Manifest = {"rules": [], "subjects": []}


async def change(folder: Path, path: str, *patches: Manifest) -> Manifest:
    """What is there after a start, the patches, and another start."""
    async with serving(folder, state=True) as api:
        for patch in patches:
            assert (await api("PATCH", RBAC + path, patch, media=MERGE)).code == 200
    async with serving(folder, state=True) as api:
        return (await api("GET", RBAC + path)).body


@pytest.mark.parametrize(
    ("path", "part"),
    [("/clusterroles/system:node", "rules"), ("/clusterrolebindings/system:discovery", "subjects")],
)
async def test_what_was_taken_from_a_default_role_is_back_after_a_start(tmp_path: Path, path: str, part: str) -> None:
    before = await change(tmp_path, path)
    after = await change(tmp_path, path, {part: []})
    assert after[part] == before[part]
    assert not (await change(tmp_path, path, KEPT_BY_HAND, {part: []})).get(part)


async def test_what_was_added_to_a_default_role_stays(tmp_path: Path) -> None:
    rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert (await change(tmp_path, "/clusterroles/system:node", {"rules": rules}))["rules"] == rules


async def test_kubernetes_own_roles_hold_one_another(api: Api) -> None:
    held = {}
    for name in ("view", "edit", "admin"):
        held[name] = (await api("GET", f"{RBAC}/clusterroles/{name}")).body["rules"]
    assert all(rule in held["edit"] for rule in held["view"])
    assert all(rule in held["admin"] for rule in held["edit"])
    assert len(held["view"]) < len(held["edit"]) < len(held["admin"])
