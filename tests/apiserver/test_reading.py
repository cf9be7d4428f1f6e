from pathlib import Path

import pytest

from tests.apiserver.calling import HOME, MERGE, PARTIAL, Api, config_map, pod, serving

MAPS = f"{HOME}/configmaps"


async def test_a_list_in_pages_is_the_list_of_one_moment(api: Api) -> None:
    for name in "abcd":
        await api("POST", MAPS, config_map(name))
    first = await api("GET", f"{MAPS}?limit=2")
    assert first.names == ["a", "b"]
    assert first.body["metadata"]["remainingItemCount"] == 3
    await api("DELETE", f"{MAPS}/c")
    await api("PATCH", f"{MAPS}/d", {"data": {"k": "new"}}, media=MERGE)
    await api("POST", MAPS, config_map("e"))
    second = await api("GET", f"{MAPS}?limit=9&continue={first.body['metadata']['continue']}")
    assert second.names == ["c", "d", "kube-root-ca.crt"]
    assert "data" not in second.body["items"][1]
    assert second.version == first.version


async def test_a_list_at_an_exact_version_shows_the_past(api: Api) -> None:
    made = await api("POST", MAPS, config_map("a", data={"k": "1"}))
    await api("PATCH", f"{MAPS}/a", {"data": {"k": "2"}}, media=MERGE)
    await api("POST", MAPS, config_map("b"))
    past = await api("GET", f"{MAPS}?resourceVersion={made.version}&resourceVersionMatch=Exact")
    assert past.names == ["a", "kube-root-ca.crt"]
    assert past.body["items"][0]["data"] == {"k": "1"}


async def test_a_page_that_comes_too_late_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path, window=4) as api:
        for name in "ab":
            await api("POST", MAPS, config_map(name))
        first = await api("GET", f"{MAPS}?limit=1")
        for count in range(20):
            await api("PATCH", f"{MAPS}/a", {"data": {"k": str(count)}}, media=MERGE)
        late = await api("GET", f"{MAPS}?limit=1&continue={first.body['metadata']['continue']}")
        assert (late.code, late.reason) == (410, "Expired")


async def test_a_version_that_is_not_reached_yet_is_a_timeout(api: Api) -> None:
    answer = await api("GET", f"{MAPS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan")
    assert (answer.code, answer.reason) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        pytest.param("app=a", ["a"], id="equal"),
        pytest.param("app!=a", ["b", "c"], id="not equal"),
        pytest.param("app in (a, b)", ["a", "b"], id="in"),
        pytest.param("app notin (a,b)", ["c"], id="not in"),
        pytest.param("app,app!=c", ["a", "b"], id="there, and not equal"),
        pytest.param("!app", [], id="absent"),
        pytest.param("zone", [], id="there"),
    ],
)
async def test_labels_select(api: Api, selector: str, names: list[str]) -> None:
    for name in "abc":
        await api("POST", f"{HOME}/pods", pod(name))
    listed = await api("GET", f"{HOME}/pods?labelSelector={selector}")
    assert listed.names == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        pytest.param("metadata.name=a", ["a"], id="name"),
        pytest.param("spec.nodeName=n1", ["b"], id="node"),
        pytest.param("spec.nodeName!=n1,status.phase=Pending", ["a"], id="another node, and phase"),
    ],
)
async def test_fields_select(api: Api, selector: str, names: list[str]) -> None:
    await api("POST", f"{HOME}/pods", pod("a"))
    await api("POST", f"{HOME}/pods", pod("b", nodeName="n1"))
    assert (await api("GET", f"{HOME}/pods?fieldSelector={selector}")).names == names


async def test_metadata_can_be_had_alone(api: Api) -> None:
    await api("POST", MAPS, config_map("a", data={"k": "v"}))
    listed = await api("GET", MAPS, headers={"Accept": PARTIAL})
    assert listed.body["kind"] == "PartialObjectMetadataList"
    assert all(set(each) == {"kind", "apiVersion", "metadata"} for each in listed.body["items"])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=1&resourceVersionMatch=Sometimes", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("limit=many", 400),
        ("labelSelector=a%20b", 400),
        ("labelSelector=a=$$", 400),
        ("fieldSelector=data.k=v", 400),
        ("continue=made-up", 400),
    ],
)
async def test_questions_that_make_no_sense_are_refused(api: Api, query: str, code: int) -> None:
    assert (await api("GET", f"{MAPS}?{query}")).code == code
