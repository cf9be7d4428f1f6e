from pathlib import Path

import pytest

from isthmus.api.scheme import Manifest
from tests.apiserver.calling import CRDS, MERGE, TABLE, WIDGETS, Api, serving, widget, widget_definition

OLDER = WIDGETS.replace("/v1/", "/v1beta1/")


def conditions(crd: Manifest) -> dict[str, str]:
    return {each["type"]: each["status"] for each in crd["status"]["conditions"]}


async def test_a_custom_kind_is_served_at_once(api: Api) -> None:
    made = await api("POST", CRDS, widget_definition())
    assert conditions(made.body) == {"NamesAccepted": "True", "Established": "True"}
    assert made.body["status"]["storedVersions"] == ["v1"]
    assert made.body["spec"]["names"]["singular"] == "widget"
    assert (await api("POST", WIDGETS, widget("a"))).code == 201
    served = (await api("GET", "/apis/example.com/v1")).body["resources"]
    assert [each["name"] for each in served] == ["widgets", "widgets/status"]
    versions = (await api("GET", "/apis/example.com")).body["versions"]
    assert [each["version"] for each in versions] == ["v1", "v1beta1"]


async def test_objects_are_defaulted_pruned_and_validated(widgets: Api) -> None:
    made = await widgets("POST", WIDGETS, widget("a", spec={"colour": "red", "weight": 3}))
    assert made.body["spec"] == {"colour": "red", "size": 3}
    refused = await widgets("POST", WIDGETS, widget("b", spec={"size": 0}))
    assert refused.code == 422
    assert refused.body["details"]["causes"][0]["field"] == "spec.size"


async def test_all_versions_show_the_same_objects(widgets: Api) -> None:
    await widgets("POST", WIDGETS, widget("a", spec={"size": 1}))
    older = await widgets("GET", f"{OLDER}/a")
    assert older.body["apiVersion"] == "example.com/v1beta1"
    changed = await widgets("PUT", f"{OLDER}/a", older.body | {"spec": {"size": 2}})
    assert changed.body["apiVersion"] == "example.com/v1beta1"
    newer = await widgets("GET", f"{WIDGETS}/a")
    assert (newer.body["apiVersion"], newer.body["spec"]) == ("example.com/v1", {"size": 2})
    async with widgets.watching(f"{OLDER}?watch=1") as events:
        assert (await events.next())["object"]["apiVersion"] == "example.com/v1beta1"


async def test_a_version_that_is_no_longer_served_is_gone(widgets: Api) -> None:
    crd = (await widgets("GET", f"{CRDS}/widgets.example.com")).body
    crd["spec"]["versions"][1]["served"] = False
    async with widgets.watching(f"{OLDER}?watch=1") as events:
        await widgets("PUT", f"{CRDS}/widgets.example.com", crd)
        assert await events.ended()
    assert (await widgets("GET", OLDER)).code == 404
    assert (await widgets("GET", WIDGETS)).code == 200


async def test_a_new_storage_version_is_remembered(widgets: Api) -> None:
    await widgets("POST", WIDGETS, widget("a"))
    crd = (await widgets("GET", f"{CRDS}/widgets.example.com")).body
    for version in crd["spec"]["versions"]:
        version["storage"] = version["name"] == "v1beta1"
    changed = await widgets("PUT", f"{CRDS}/widgets.example.com", crd)
    assert changed.body["status"]["storedVersions"] == ["v1", "v1beta1"]
    assert (await widgets("GET", f"{WIDGETS}/a")).body["apiVersion"] == "example.com/v1"
    again = await widgets("PATCH", f"{WIDGETS}/a", {"spec": {"size": 9}}, media=MERGE)
    assert again.body["apiVersion"] == "example.com/v1"


async def test_objects_are_read_anew_under_a_new_schema(widgets: Api) -> None:
    made = await widgets("POST", WIDGETS, widget("a", spec={"colour": "red"}))
    crd = (await widgets("GET", f"{CRDS}/widgets.example.com")).body
    for version in crd["spec"]["versions"]:
        fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        del fields["colour"]
        fields["weight"] = {"type": "integer", "default": 7}
    await widgets("PUT", f"{CRDS}/widgets.example.com", crd)
    for path in (WIDGETS, OLDER):
        read = await widgets("GET", f"{path}/a")
        assert (read.version, read.body["spec"]) == (made.version, {"size": 3, "weight": 7})
    assert (await widgets("GET", WIDGETS)).body["items"][0]["spec"] == {"size": 3, "weight": 7}


def without(crd: Manifest, part: str) -> Manifest:
    return crd | {"spec": {key: value for key, value in crd["spec"].items() if key != part}}


@pytest.mark.parametrize(
    ("crd", "field"),
    [
        pytest.param(widget_definition(schema=None), "spec.versions[0].schema.openAPIV3Schema", id="no schema"),
        pytest.param(
            widget_definition(schema={"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}}),
            "spec.validation.openAPIV3Schema.properties[spec].type",
            id="not structural",
        ),
        pytest.param(without(widget_definition(), "scope"), "spec.scope", id="no scope"),
        pytest.param(widget_definition(storage=False), "spec.versions", id="nothing stored"),
        pytest.param(widget_definition() | {"metadata": {"name": "a.example.com"}}, "metadata.name", id="other name"),
    ],
)
async def test_a_definition_that_cannot_be_is_refused(api: Api, crd: Manifest, field: str) -> None:
    refused = await api("POST", CRDS, crd)
    assert refused.code == 422
    assert field in [cause["field"] for cause in refused.body["details"]["causes"]]


async def test_a_name_that_another_kind_has_is_not_accepted(widgets: Api) -> None:
    other = widget_definition()
    other["metadata"]["name"] = "gadgets.example.com"
    other["spec"]["names"] = {"plural": "gadgets", "kind": "Gadget", "shortNames": ["wd"]}
    made = await widgets("POST", CRDS, other)
    assert conditions(made.body) == {"NamesAccepted": "False", "Established": "False"}
    assert (await widgets("GET", "/apis/example.com/v1/gadgets")).code == 404
    await widgets("DELETE", f"{CRDS}/gadgets.example.com")
    await widgets.until("GET", f"{CRDS}/gadgets.example.com", 404)


async def test_printer_columns_are_shown(widgets: Api) -> None:
    await widgets("POST", WIDGETS, widget("a", spec={"size": 5}))
    table = (await widgets("GET", WIDGETS, headers={"Accept": TABLE})).body
    assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Size"]
    assert [row["cells"] for row in table["rows"]] == [["a", 5]]


async def test_custom_kinds_and_objects_survive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, state=True) as api:
        await api("POST", CRDS, widget_definition())
        made = await api("POST", WIDGETS, widget("a"))
    async with serving(tmp_path, state=True) as api:
        assert (await api("GET", f"{WIDGETS}/a")).body == made.body


async def test_a_custom_resource_is_scaled(api: Api) -> None:
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    await api("POST", CRDS, widget_definition(subresources={"scale": scale}))
    await api("POST", WIDGETS, widget("a", spec={}))
    assert (await api("GET", f"{WIDGETS}/a/scale")).body["spec"] == {"replicas": 3}
    await api("PATCH", f"{WIDGETS}/a/scale", {"spec": {"replicas": 7}}, media=MERGE)
    assert (await api("GET", f"{WIDGETS}/a")).body["spec"] == {"size": 7}
