import pytest

from tests.apiserver.calling import HOME, MERGE, WIDGETS, Api, config_map, pod, widget

MAPS = f"{HOME}/configmaps"
PODS = f"{HOME}/pods"


async def test_what_is_deleted_is_gone_and_its_name_free(api: Api) -> None:
    made = await api("POST", MAPS, config_map("a"))
    deleted = await api("DELETE", f"{MAPS}/a")
    assert deleted.body["status"] == "Success"
    assert deleted.body["details"]["uid"] == made.body["metadata"]["uid"]
    assert (await api("DELETE", f"{MAPS}/a")).code == 404
    assert (await api("POST", MAPS, config_map("a"))).body["metadata"]["uid"] != made.body["metadata"]["uid"]


@pytest.mark.parametrize("condition", [{"uid": "another"}, {"resourceVersion": "1"}])
async def test_a_precondition_that_does_not_hold_saves_the_object(api: Api, condition: dict[str, str]) -> None:
    await api("POST", MAPS, config_map("a"))
    refused = await api("DELETE", f"{MAPS}/a", {"preconditions": condition})
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert (await api("GET", f"{MAPS}/a")).code == 200


async def test_finalizers_hold_an_object_until_the_last_is_gone(widgets: Api) -> None:
    held = widget("a") | {"metadata": {"name": "a", "finalizers": ["x.io/a", "x.io/b"]}}
    await widgets("POST", WIDGETS, held)
    deleted = await widgets("DELETE", f"{WIDGETS}/a")
    assert deleted.body["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["x.io/a", "x.io/b", "x.io/c"]}}
    assert (await widgets("PATCH", f"{WIDGETS}/a", more, media=MERGE)).code == 422
    await widgets("PATCH", f"{WIDGETS}/a", {"metadata": {"finalizers": ["x.io/b"]}}, media=MERGE)
    assert (await widgets("GET", f"{WIDGETS}/a")).code == 200
    await widgets("PATCH", f"{WIDGETS}/a", {"metadata": {"finalizers": None}}, media=MERGE)
    assert (await widgets("GET", f"{WIDGETS}/a")).code == 404


async def test_a_pod_on_a_node_is_given_its_grace(api: Api) -> None:
    await api("POST", PODS, pod("a", nodeName="n", terminationGracePeriodSeconds=7))
    marked = await api("DELETE", f"{PODS}/a")
    assert marked.body["metadata"]["deletionGracePeriodSeconds"] == 7
    longer = await api("DELETE", f"{PODS}/a?gracePeriodSeconds=60")
    assert longer.body["metadata"]["deletionGracePeriodSeconds"] == 7
    assert (await api("DELETE", f"{PODS}/a?gracePeriodSeconds=0")).code == 200
    assert (await api("GET", f"{PODS}/a")).code == 404


async def test_a_pod_on_no_node_goes_at_once(api: Api) -> None:
    await api("POST", PODS, pod("a"))
    await api("DELETE", f"{PODS}/a")
    assert (await api("GET", f"{PODS}/a")).code == 404


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name in "abc":
        await api("POST", PODS, pod(name))
    deleted = await api("DELETE", f"{PODS}?labelSelector=app in (a,b)")
    assert deleted.names == ["a", "b"]
    assert (await api("GET", PODS)).names == ["c"]


async def test_an_eviction_deletes_the_pod(api: Api) -> None:
    await api("POST", PODS, pod("a"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    assert (await api("POST", f"{PODS}/a/eviction", eviction)).code == 201
    assert (await api("GET", f"{PODS}/a")).code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [({"propagationPolicy": "Later"}, 422), ({"gracePeriodSeconds": "soon"}, 400), ({"kind": "Pod"}, 400), ("{", 400)],
)
async def test_options_that_make_no_sense_are_refused(api: Api, body: object, code: int) -> None:
    await api("POST", MAPS, config_map("a"))
    assert (await api("DELETE", f"{MAPS}/a", body)).code == code
    assert (await api("GET", f"{MAPS}/a")).code == 200
