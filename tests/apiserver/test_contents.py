from pathlib import Path

from tests.apiserver.calling import CRDS, HOME, MERGE, WIDGETS, Api, config_map, serving, widget, widget_definition

NAMESPACES = "/api/v1/namespaces"


async def test_a_new_cluster_has_its_namespaces(api: Api) -> None:
    listed = await api("GET", NAMESPACES)
    assert listed.names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    assert all(each["metadata"]["labels"]["kubernetes.io/metadata.name"] for each in listed.body["items"])


async def test_a_namespace_is_furnished(api: Api) -> None:
    await api("POST", NAMESPACES, {"metadata": {"name": "shop"}})
    await api.until("GET", f"{NAMESPACES}/shop/serviceaccounts/default", 200)
    bundle = await api.until("GET", f"{NAMESPACES}/shop/configmaps/kube-root-ca.crt", 200)
    assert bundle.body["data"]["ca.crt"] == api.server.pki.ca.read_text()
    await api("DELETE", f"{NAMESPACES}/shop/configmaps/kube-root-ca.crt")
    await api.until("GET", f"{NAMESPACES}/shop/configmaps/kube-root-ca.crt", 200)


async def test_nothing_is_made_in_a_namespace_that_is_not_there(api: Api) -> None:
    refused = await api("POST", f"{NAMESPACES}/shop/configmaps", config_map("a"))
    assert (refused.code, refused.message) == (404, 'namespaces "shop" not found')


async def test_a_namespace_goes_with_all_it_holds(widgets: Api) -> None:
    await widgets("POST", NAMESPACES, {"metadata": {"name": "shop"}})
    await widgets("POST", f"{NAMESPACES}/shop/configmaps", config_map("a"))
    await widgets("POST", "/apis/example.com/v1/namespaces/shop/widgets", widget("a"))
    deleted = await widgets("DELETE", f"{NAMESPACES}/shop")
    assert deleted.body["status"]["phase"] == "Terminating"
    await widgets.until("GET", f"{NAMESPACES}/shop", 404)
    assert (await widgets("GET", "/api/v1/configmaps?fieldSelector=metadata.name=a")).names == []
    assert (await widgets("GET", "/apis/example.com/v1/widgets")).names == []


async def test_a_namespace_waits_for_what_holds_on_to_life_and_takes_nothing_new(api: Api) -> None:
    await api("POST", NAMESPACES, {"metadata": {"name": "shop"}})
    held = {"metadata": {"name": "a", "finalizers": ["x.io/a"]}}
    await api("POST", f"{NAMESPACES}/shop/configmaps", held)
    await api("DELETE", f"{NAMESPACES}/shop")
    refused = await api("POST", f"{NAMESPACES}/shop/configmaps", config_map("b"))
    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert (await api("GET", f"{NAMESPACES}/shop")).code == 200
    # Once it is the last one left, letting go of it lets go of the namespace.
    await api.until("GET", f"{NAMESPACES}/shop/serviceaccounts/default", 404)
    await api("PATCH", f"{NAMESPACES}/shop/configmaps/a", {"metadata": {"finalizers": None}}, media=MERGE)
    await api.until("GET", f"{NAMESPACES}/shop", 404)


async def test_an_interrupted_deletion_is_finished_after_the_next_start(tmp_path: Path) -> None:
    async with serving(tmp_path, state=True) as api:
        await api("POST", NAMESPACES, {"metadata": {"name": "shop"}})
        api.server.storage.listeners.clear()
        await api("DELETE", f"{NAMESPACES}/shop")
    async with serving(tmp_path, state=True) as api:
        await api.until("GET", f"{NAMESPACES}/shop", 404)


async def test_the_first_namespaces_stay(api: Api) -> None:
    assert (await api("DELETE", f"{NAMESPACES}/default")).code == 403


async def test_custom_objects_go_with_their_kind(widgets: Api) -> None:
    held = widget("a") | {"metadata": {"name": "a", "finalizers": ["x.io/a"]}}
    await widgets("POST", WIDGETS, held)
    await widgets("POST", WIDGETS, widget("b"))
    await widgets("DELETE", f"{CRDS}/widgets.example.com")
    await widgets.until("GET", f"{WIDGETS}/b", 404)
    assert (await widgets("GET", f"{WIDGETS}/a")).body["metadata"]["deletionTimestamp"]
    async with widgets.watching(f"{WIDGETS}?watch=1") as events:
        await events.next()
        await widgets("PATCH", f"{WIDGETS}/a", {"metadata": {"finalizers": None}}, media=MERGE)
        await widgets.until("GET", f"{CRDS}/widgets.example.com", 404)
        assert (await events.next())["type"] == "DELETED"
        assert await events.ended()
    assert (await widgets("GET", WIDGETS)).code == 404
    assert (await widgets("POST", CRDS, widget_definition())).code == 201
    assert (await widgets("GET", WIDGETS)).names == []


async def test_a_definition_that_waited_for_its_names_has_them_once_they_are_free(widgets: Api) -> None:
    other = widget_definition()
    other["metadata"]["name"] = "gadgets.example.com"
    other["spec"]["names"] |= {"plural": "gadgets", "singular": "gadget"}
    refused = await widgets("POST", CRDS, other)
    assert refused.body["status"]["conditions"][0]["reason"] == "NameConflict"
    await widgets("DELETE", f"{CRDS}/widgets.example.com")
    assert (await widgets.until("GET", "/apis/example.com/v1/gadgets", 200)).names == []


async def test_the_service_of_the_api_server_is_there(api: Api) -> None:
    kubernetes = await api("GET", f"{HOME}/services/kubernetes")
    assert kubernetes.body["spec"]["clusterIPs"] == ["10.1.128.1"]


async def test_where_the_api_server_is_reached_is_told_by_family(tmp_path: Path) -> None:
    reached = (("10.0.0.1", 6443), ("fd69::1", 6443))
    async with serving(tmp_path, advertised=reached) as api:
        listed = await api("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices")
        told = {each["addressType"]: each["endpoints"][0]["addresses"] for each in listed.body["items"]}
        assert told == {"IPv4": ["10.0.0.1"], "IPv6": ["fd69::1"]}
