import pytest

from tests.apiserver.calling import (
    APPLY,
    HOME,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    WIDGETS,
    YAML,
    Api,
    config_map,
    pod,
    widget,
)

MAPS = f"{HOME}/configmaps"


async def test_a_created_object_has_an_identity_and_can_be_read_back(api: Api) -> None:
    made = await api("POST", MAPS, config_map("a", data={"k": "v"}))
    metadata = made.body["metadata"]
    assert made.code == 201
    assert metadata["uid"]
    assert metadata["creationTimestamp"]
    assert int(made.version) > 1
    assert (await api("GET", f"{MAPS}/a")).body == made.body


async def test_a_name_is_given_once(api: Api) -> None:
    await api("POST", MAPS, config_map("a"))
    again = await api("POST", MAPS, config_map("a"))
    assert (again.code, again.reason) == (409, "AlreadyExists")


async def test_a_generated_name_starts_as_asked(api: Api) -> None:
    made = await api("POST", MAPS, {"metadata": {"generateName": "shop-"}})
    name = made.body["metadata"]["name"]
    assert name.startswith("shop-")
    assert len(name) == len("shop-") + 5


@pytest.mark.parametrize(
    ("body", "media", "code"),
    [
        pytest.param("{no json", "application/json", 400, id="not JSON"),
        pytest.param("[]", "application/json", 400, id="not an object"),
        pytest.param("a: [", YAML, 400, id="not YAML"),
        pytest.param("x", "text/plain", 415, id="another format"),
        pytest.param("[" * 5000, "application/json", 400, id="too deep"),
        pytest.param('{"a":' * 300 + "1" + "}" * 300, "application/json", 400, id="deep objects"),
        pytest.param("[" * 50_000 + "]" * 50_000, YAML, 400, id="too deep for YAML"),
        pytest.param("{a: 1", YAML, 400, id="neither JSON nor YAML"),
        pytest.param(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}, "application/json", 400, id="kind"
        ),
        pytest.param({"apiVersion": "v2", "metadata": {"name": "a"}}, "application/json", 400, id="version"),
        pytest.param({"metadata": {"name": "a", "namespace": "b"}}, "application/json", 400, id="another namespace"),
        pytest.param({"metadata": {"name": {"a": 1}}}, "application/json", 400, id="a name that is a map"),
        pytest.param({"metadata": []}, "application/json", 400, id="metadata that is a list"),
        pytest.param(
            {"metadata": {"name": "a", "labels": {"a": 1}}}, "application/json", 400, id="label that is a number"
        ),
        pytest.param({"metadata": {"name": "a"}, "data": 3}, "application/json", 400, id="a field of another type"),
        pytest.param({"metadata": {}}, "application/json", 422, id="no name"),
        pytest.param({"metadata": {"name": "A_"}}, "application/json", 422, id="no DNS name"),
        pytest.param(
            {"metadata": {"name": "a"}, "data": {"k": "x" * 3_200_000}}, "application/json", 413, id="too large"
        ),
    ],
)
async def test_bad_input_is_refused_with_a_status(api: Api, body: object, media: str, code: int) -> None:
    answer = await api("POST", MAPS, body, media=media)
    assert (answer.code, answer.body["kind"], answer.body["code"]) == (code, "Status", code)
    assert (await api("GET", MAPS)).names == ["kube-root-ca.crt"]


async def test_aliases_cannot_blow_a_small_document_up(api: Api) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    answer = await api("POST", MAPS, "\n".join(lines), media=YAML)
    assert answer.code == 400


async def test_yaml_is_read_as_kubernetes_reads_it(api: Api) -> None:
    text = "metadata: {name: a}\ndata: {day: '2030-01-01', 1: one}\n"
    made = await api("POST", MAPS, text, media=YAML)
    assert made.body["data"] == {"day": "2030-01-01", "1": "one"}


async def test_an_update_of_what_somebody_else_changed_meanwhile_conflicts(api: Api) -> None:
    seen = (await api("POST", MAPS, config_map("a"))).body
    await api("PUT", f"{MAPS}/a", seen | {"data": {"k": "1"}})
    late = await api("PUT", f"{MAPS}/a", seen | {"data": {"k": "2"}})
    assert (late.code, late.reason) == (409, "Conflict")
    assert (await api("GET", f"{MAPS}/a")).body["data"] == {"k": "1"}


async def test_an_update_that_names_another_object_conflicts(api: Api) -> None:
    await api("POST", MAPS, config_map("a"))
    other = config_map("a") | {"metadata": {"name": "a", "uid": "another"}}
    assert (await api("PUT", f"{MAPS}/a", other)).code == 409


async def test_an_update_that_changes_nothing_is_no_write(api: Api) -> None:
    made = await api("POST", MAPS, config_map("a", data={"k": "v"}))
    assert (await api("PUT", f"{MAPS}/a", made.body)).version == made.version
    assert (await api("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, media=MERGE)).version == made.version


async def test_identity_cannot_be_written(api: Api) -> None:
    made = (await api("POST", MAPS, config_map("a"))).body
    wanted = {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 7}
    patched = await api("PATCH", f"{MAPS}/a", {"metadata": wanted, "data": {"k": "v"}}, media=MERGE)
    assert patched.body["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert "generation" not in patched.body["metadata"]


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        pytest.param(MERGE, {"data": {"b": "2", "a": None}}, id="merge patch"),
        pytest.param(STRATEGIC, {"data": {"b": "2", "a": None}}, id="strategic merge patch"),
        pytest.param(
            JSON_PATCH,
            [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}],
            id="JSON patch",
        ),
    ],
)
async def test_a_patch_changes_what_it_names(api: Api, media: str, patch: object) -> None:
    await api("POST", MAPS, config_map("a", data={"a": "1", "c": "3"}))
    answer = await api("PATCH", f"{MAPS}/a", patch, media=media)
    assert (answer.code, answer.body["data"]) == (200, {"b": "2", "c": "3"})


async def test_two_appliers_of_one_field_conflict_until_one_forces(api: Api) -> None:
    path = f"{MAPS}/a?fieldManager="
    assert (await api("PATCH", path + "one", config_map("a", data={"k": "1"}), media=APPLY)).code == 201
    refused = await api("PATCH", path + "two", config_map("a", data={"k": "2"}), media=APPLY)
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert '"one"' in refused.message
    forced = await api("PATCH", path + "two&force=true", config_map("a", data={"k": "2"}), media=APPLY)
    assert forced.body["data"] == {"k": "2"}


async def test_an_apply_of_the_same_is_no_write(api: Api) -> None:
    path = f"{MAPS}/a?fieldManager=one"
    first = await api("PATCH", path, config_map("a", data={"k": "1"}), media=APPLY)
    assert (await api("PATCH", path, config_map("a", data={"k": "1"}), media=APPLY)).version == first.version


async def test_a_dry_run_answers_as_if_and_leaves_no_trace(api: Api) -> None:
    made = await api("POST", f"{MAPS}?dryRun=All", config_map("a"))
    assert (made.code, made.body["metadata"]["name"]) == (201, "a")
    assert (await api("GET", f"{MAPS}/a")).code == 404
    await api("POST", MAPS, config_map("a", data={"k": "1"}))
    changed = await api("PATCH", f"{MAPS}/a?dryRun=All", {"data": {"k": "2"}}, media=MERGE)
    assert changed.body["data"] == {"k": "2"}
    assert (await api("DELETE", f"{MAPS}/a?dryRun=All")).code == 200
    assert (await api("GET", f"{MAPS}/a")).body["data"] == {"k": "1"}


async def test_unknown_fields_are_dropped_told_or_refused(api: Api) -> None:
    sent = config_map("a", colour="red")
    assert (await api("POST", f"{MAPS}?fieldValidation=Strict", sent)).code == 400
    warned = await api("POST", MAPS, sent)
    assert 'unknown field \\"colour\\"' in warned.headers["Warning"]
    assert "colour" not in warned.body
    quiet = await api("POST", f"{MAPS}?fieldValidation=Ignore", config_map("b", colour="red"))
    assert "Warning" not in quiet.headers


async def test_a_status_is_written_by_its_own_path_only(api: Api) -> None:
    await api("POST", f"{HOME}/pods", pod("a"))
    main = await api("PATCH", f"{HOME}/pods/a", {"status": {"phase": "Failed"}}, media=STRATEGIC)
    assert main.body["status"]["phase"] == "Pending"
    told = {"status": {"phase": "Running"}, "spec": {"hostname": "x"}}
    status = await api("PATCH", f"{HOME}/pods/a/status", told, media=STRATEGIC)
    assert status.body["status"]["phase"] == "Running"
    assert "hostname" not in status.body["spec"]


async def test_generation_counts_changes_of_what_is_wanted(widgets: Api) -> None:
    await widgets("POST", WIDGETS, widget("a", spec={"size": 1}))
    labelled = await widgets("PATCH", f"{WIDGETS}/a", {"metadata": {"labels": {"x": "y"}}}, media=MERGE)
    told = await widgets("PATCH", f"{WIDGETS}/a/status", {"status": {"ready": True}}, media=MERGE)
    changed = await widgets("PATCH", f"{WIDGETS}/a", {"spec": {"size": 2}}, media=MERGE)
    assert [each.body["metadata"]["generation"] for each in (labelled, told, changed)] == [1, 1, 2]


async def test_a_lease_may_be_made_by_put(api: Api) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a"
    sent = {"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}}
    assert [(await api("PUT", path, sent)).code for _ in range(2)] == [201, 200]
    assert (await api("PUT", f"{MAPS}/none", config_map("none"))).code == 404


async def test_who_makes_what_nothing_acts_on_is_told_once(api: Api) -> None:
    policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
    body = {"metadata": {"name": "closed"}, "spec": {"podSelector": {}}}
    assert "nothing acts on NetworkPolicy" in (await api("POST", policies, body)).headers["Warning"]
    labelled = {**body, "metadata": {"name": "closed", "labels": {"a": "b"}}}
    assert "Warning" not in (await api("PUT", f"{policies}/closed", labelled)).headers
    assert "Warning" not in (await api("POST", MAPS, config_map("plain"))).headers
