import pytest

from isthmus.apiserver.jsonpath import find, printed

OBJECT = {
    "metadata": {"name": "a", "annotations": {"x.io/y": "z"}},
    "spec": {"list": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Live", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["a"]),
        ("{.metadata.name}", ["a"]),
        ("metadata.name", ["a"]),
        (".metadata.missing", []),
        (".spec.list[0].a", [1]),
        (".spec.list[-1].a", [3]),
        (".spec.list[9].a", []),
        (".spec.list[*].a", [1, 2, 3]),
        (".spec.list[0:2].a", [1, 2]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".spec.list[?(@.b)].a", [1, 2]),
        (".metadata.annotations.x\\.io/y", ["z"]),
        (".metadata.annotations['x.io/y']", ["z"]),
        ("..status", [OBJECT["status"], "True", "False"]),
        (".spec.list[", []),
        (".spec[?(@.a=~'x')]", []),
    ],
)
def test_a_path_leads_to_what_it_says(path: str, found: list[object]) -> None:
    assert find(path, OBJECT) == found


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (3, "3"), (True, "true"), ({"a": [1]}, '{"a":[1]}')])
def test_values_are_printed_as_json_without_quotes(value: object, text: str) -> None:
    assert printed(value) == text
