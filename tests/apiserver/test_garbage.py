from pathlib import Path

import pytest

from isthmus.api.scheme import Manifest
from isthmus.testing.waiting import eventually
from tests.apiserver.calling import HOME, MERGE, Api, config_map, own_reference, serving

MAPS = f"{HOME}/configmaps"


async def owned(api: Api, name: str, *owners: Manifest, **reference: object) -> Manifest:
    obj = config_map(name)
    obj["metadata"]["ownerReferences"] = [own_reference(owner, **reference) for owner in owners]
    return (await api("POST", MAPS, obj)).body


async def test_what_is_owned_goes_with_its_owner_and_so_on(api: Api) -> None:
    owner = (await api("POST", MAPS, config_map("owner"))).body
    child = await owned(api, "child", owner)
    await owned(api, "grandchild", child)
    await api("DELETE", f"{MAPS}/owner")
    await api.until("GET", f"{MAPS}/child", 404)
    await api.until("GET", f"{MAPS}/grandchild", 404)


async def test_an_object_stays_while_one_of_its_owners_does(api: Api) -> None:
    first, second = [(await api("POST", MAPS, config_map(name))).body for name in ("first", "second")]
    await owned(api, "child", first, second)
    async with api.watching(f"{MAPS}?watch=1&fieldSelector=metadata.name=child") as events:
        await events.next()
        await api("DELETE", f"{MAPS}/first")
        changed = (await events.next())["object"]
    assert [each["name"] for each in changed["metadata"]["ownerReferences"]] == ["second"]


async def test_in_the_foreground_the_owner_goes_last(api: Api) -> None:
    owner = (await api("POST", MAPS, config_map("owner"))).body
    await owned(api, "child", owner, blockOwnerDeletion=True)
    async with api.watching(f"{MAPS}?watch=1&resourceVersion={owner['metadata']['resourceVersion']}") as events:
        deleted = await api("DELETE", f"{MAPS}/owner?propagationPolicy=Foreground")
        assert deleted.body["metadata"]["finalizers"] == ["foregroundDeletion"]
        gone: list[str] = []
        while len(gone) < 2:
            event = await events.next()
            gone += [event["object"]["metadata"]["name"]] if event["type"] == "DELETED" else []
    assert gone == ["child", "owner"]


@pytest.mark.parametrize("blocks", [True, False])
async def test_in_the_foreground_the_owner_waits_for_what_blocks_it(api: Api, blocks: bool) -> None:
    owner = (await api("POST", MAPS, config_map("owner"))).body
    child = config_map("child")
    child["metadata"] |= {
        "finalizers": ["x.io/held"],
        "ownerReferences": [own_reference(owner, blockOwnerDeletion=blocks)],
    }
    await api("POST", MAPS, child)
    await api("DELETE", f"{MAPS}/owner?propagationPolicy=Foreground")

    async def child_is_to_go() -> bool:
        return "deletionTimestamp" in (await api("GET", f"{MAPS}/child")).body["metadata"]

    await eventually(child_is_to_go)
    if blocks:
        assert (await api("GET", f"{MAPS}/owner")).code == 200
        await api("PATCH", f"{MAPS}/child", {"metadata": {"finalizers": None}}, media=MERGE)
    await api.until("GET", f"{MAPS}/owner", 404)


async def test_orphans_live_on_without_their_owner(api: Api) -> None:
    owner = (await api("POST", MAPS, config_map("owner"))).body
    await owned(api, "child", owner)
    await api("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Orphan"})
    await api.until("GET", f"{MAPS}/owner", 404)
    assert "ownerReferences" not in (await api("GET", f"{MAPS}/child")).body["metadata"]


@pytest.mark.parametrize("change", [{"uid": "never-was"}, {"kind": "Nothing", "apiVersion": "not.served/v1"}])
async def test_an_owner_that_never_was_counts_as_gone_unless_its_kind_is_unknown(
    api: Api, change: dict[str, str]
) -> None:
    owner = (await api("POST", MAPS, config_map("owner"))).body
    await owned(api, "child", owner, **change)
    # What is asked for later is done later: this one goes by the same queue.
    marker = await owned(api, "marker", owner, uid="never-was-either")
    assert marker["metadata"]["name"] == "marker"
    await api.until("GET", f"{MAPS}/marker", 404)
    assert (await api("GET", f"{MAPS}/child")).code == (404 if "uid" in change else 200)


async def test_garbage_left_by_a_crash_is_collected_after_the_next_start(tmp_path: Path) -> None:
    async with serving(tmp_path, state=True) as api:
        owner = (await api("POST", MAPS, config_map("owner"))).body
        await owned(api, "child", owner)
        # Nobody of the house hears of it, as if the end came right after the answer.
        storage = api.server.storage
        storage.listeners.clear()
        storage.remove(storage.collection("configmaps"), ("default", "owner"))
    async with serving(tmp_path, state=True) as api:
        await api.until("GET", f"{MAPS}/child", 404)
