import asyncio
from pathlib import Path

from tests.apiserver.calling import HOME, MERGE, TABLE, Api, config_map, pod, serving

MAPS = f"{HOME}/configmaps"


async def test_a_watch_tells_every_change_in_order(api: Api) -> None:
    start = (await api("GET", MAPS)).version
    async with api.watching(f"{MAPS}?watch=1&resourceVersion={start}") as events:
        made = await api("POST", MAPS, config_map("a"))
        await api("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, media=MERGE)
        await api("DELETE", f"{MAPS}/a")
        seen = [await events.next() for _ in range(3)]
    assert [each["type"] for each in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen[0]["object"] == made.body
    versions = [int(each["object"]["metadata"]["resourceVersion"]) for each in seen]
    assert versions == sorted(set(versions))


async def test_a_watch_without_a_version_begins_with_what_is_there(api: Api) -> None:
    async with api.watching(f"{MAPS}?watch=1") as events:
        assert await events.told(1) == [("ADDED", "kube-root-ca.crt")]
        await api("POST", MAPS, config_map("a"))
        assert await events.told(1) == [("ADDED", "a")]


async def test_a_watch_resumes_where_another_ended(api: Api) -> None:
    made = await api("POST", MAPS, config_map("a"))
    await api("POST", MAPS, config_map("b"))
    await api("DELETE", f"{MAPS}/a")
    async with api.watching(f"{MAPS}?watch=1&resourceVersion={made.version}") as events:
        assert await events.told(2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_a_watch_from_a_forgotten_version_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path, window=4) as api:
        made = await api("POST", MAPS, config_map("a"))
        for count in range(20):
            await api("PATCH", f"{MAPS}/a", {"data": {"k": str(count)}}, media=MERGE)
        answer = await api("GET", f"{MAPS}?watch=1&resourceVersion={made.version}")
        assert answer.body["type"] == "ERROR"
        assert (answer.body["object"]["code"], answer.body["object"]["reason"]) == (410, "Expired")


async def test_versions_of_before_a_restart_are_gone_and_never_given_twice(tmp_path: Path) -> None:
    async with serving(tmp_path, state=True) as api:
        made = await api("POST", MAPS, config_map("a"))
        last = await api("DELETE", f"{MAPS}/a")
        assert last.code == 200
    async with serving(tmp_path, state=True) as api:
        assert (await api("GET", f"{MAPS}?watch=1&resourceVersion={made.version}")).body["object"]["code"] == 410
        again = await api("POST", MAPS, config_map("a"))
        assert int(again.version) > int(made.version) + 1


async def test_a_list_can_be_streamed_and_says_when_it_is_whole(api: Api) -> None:
    await api("POST", MAPS, config_map("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with api.watching(f"{MAPS}?{query}") as events:
        assert await events.told(2) == [("ADDED", "a"), ("ADDED", "kube-root-ca.crt")]
        mark = await events.next()
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await api("DELETE", f"{MAPS}/a")
        assert await events.told(1) == [("DELETED", "a")]


async def test_what_no_longer_matches_is_deleted_to_that_watcher(api: Api) -> None:
    await api("POST", f"{HOME}/pods", pod("a"))
    async with api.watching(f"{HOME}/pods?watch=1&labelSelector=app=a") as events:
        assert await events.told(1) == [("ADDED", "a")]
        await api("PATCH", f"{HOME}/pods/a", {"metadata": {"labels": {"app": "z"}}}, media=MERGE)
        gone = await events.next()
        assert (gone["type"], gone["object"]["metadata"]["labels"]) == ("DELETED", {"app": "a"})
        await api("PATCH", f"{HOME}/pods/a", {"metadata": {"labels": {"app": "a"}}}, media=MERGE)
        assert await events.told(1) == [("ADDED", "a")]


async def test_a_watch_ends_when_its_time_is_up_with_a_bookmark(api: Api) -> None:
    query = "watch=1&resourceVersion=0&timeoutSeconds=1&allowWatchBookmarks=true&fieldSelector=metadata.name=none"
    async with api.watching(f"{MAPS}?{query}") as events:
        assert (await events.next())["type"] == "BOOKMARK"
        assert await events.ended()


async def test_a_watch_can_be_a_table(api: Api) -> None:
    async with api.watching(f"{MAPS}?watch=1", Accept=TABLE) as events:
        seen = await events.next()
        assert seen["object"]["kind"] == "Table"
        assert seen["object"]["rows"][0]["cells"][:2] == ["kube-root-ca.crt", 1]


async def test_many_watchers_see_one_change_each(api: Api) -> None:
    start = (await api("GET", MAPS)).version
    path = f"{MAPS}?watch=1&resourceVersion={start}"
    ready = asyncio.Semaphore(0)

    async def watcher() -> list[tuple[str, str]]:
        async with api.watching(path) as events:
            ready.release()
            return await events.told(3)

    async with asyncio.TaskGroup() as tasks:
        watchers = [tasks.create_task(watcher()) for _ in range(100)]
        for _ in watchers:
            await ready.acquire()
        for name in "abc":
            await api("POST", MAPS, config_map(name))
    assert all(each.result() == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")] for each in watchers)


async def test_watches_end_when_the_server_does(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, api.watching(f"{MAPS}?watch=1") as events:
        await events.next()
        await api.server.__aexit__(None, None, None)
        assert await events.ended()


async def test_contradictions_are_refused(api: Api) -> None:
    assert (await api("GET", f"{MAPS}?watch=1&sendInitialEvents=true")).code == 422
    assert (await api("GET", f"{MAPS}?watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1")).code == 422
