"""Validation rules of custom resources, as far as one server is enough to see them: tests/differential has the rest."""

from isthmus.api.scheme import Manifest
from isthmus.apiserver.rulefaults import rule_faults
from isthmus.apiserver.rules import MAX_EVALUATIONS, Rules
from tests.apiserver.calling import CRDS, Api, widget, widget_definition

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def schema(spec: Manifest) -> Manifest:
    return {"type": "object", "properties": {"spec": spec}}


def ruled(node: Manifest, *rules: str) -> Manifest:
    return {**node, "x-kubernetes-validations": [{"rule": rule} for rule in rules]}


def judged(openapi: Manifest, spec: object, old: object = None) -> list[str]:
    before = None if old is None else widget("a", spec=old)
    causes, _ = Rules(openapi).judge(widget("a", spec=spec), before, [])
    return [f"{cause.field}: {cause.message}" for cause in causes]


def test_a_schema_without_rules_says_nothing() -> None:
    assert judged(schema({"type": "object"}), {"a": 1}) == []


def test_rules_about_a_transition_wait_until_there_is_one() -> None:
    number = ruled({"type": "integer"}, "self >= oldSelf")
    openapi = schema({"type": "object", "properties": {"n": number}})
    assert judged(openapi, {"n": 1}) == []
    assert judged(openapi, {"n": 1}, {}) == []
    assert judged(openapi, {"n": 1}, {"n": 2}) == ["spec.n: Invalid value: 1: failed rule: self >= oldSelf"]


def test_a_long_list_of_items_is_judged_no_further_than_the_bound() -> None:
    items = {"type": "array", "items": ruled({"type": "integer"}, "self >= 0")}
    openapi = schema({"type": "object", "properties": {"l": items}})
    told = judged(openapi, {"l": [1] * (MAX_EVALUATIONS + 1)})
    assert len(told) == 1
    assert "validation failed due to running out of cost budget" in told[0]


def test_a_rule_that_cannot_be_read_names_its_place() -> None:
    found = list(rule_faults(schema(ruled({"type": "object"}, "self.")), "spec"))
    assert [cause.field for cause in found] == ["spec.properties[spec].x-kubernetes-validations[0].rule"]
    assert "ERROR: <input>:1:6: Syntax error" in found[0].message


async def test_rules_hold_from_the_moment_the_definition_has_them(api: Api) -> None:
    made = await api("POST", CRDS, widget_definition())
    assert "Warning" not in made.headers
    assert (await api("POST", WIDGETS, widget("a", spec={"size": 9}))).code == 201
    version = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations"
    change = [{"op": "add", "path": version, "value": [{"rule": "self.spec.size < 5", "message": "too big"}]}]
    patched = await api("PATCH", f"{CRDS}/widgets.example.com", change, media="application/json-patch+json")
    assert patched.code == 200
    refused = await api("POST", WIDGETS, widget("b", spec={"size": 9}))
    assert (refused.code, refused.body["details"]["causes"][0]["message"]) == (422, "Invalid value: too big")
    labelled = {"metadata": {"labels": {"a": "b"}}}
    spared = await api("PATCH", f"{WIDGETS}/a", labelled, media="application/merge-patch+json")
    assert spared.code == 422, "the root has changed with its labels, so its rule is asked again"
