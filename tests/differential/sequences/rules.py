"""Validation rules of custom resources: what they may be, what they say, of which writes."""

from isthmus.api.scheme import Manifest
from tests.differential.steps import CRDS, Reason, Sequence, Step, apply, get, named, patch, post, put, sequence

TEXT = {"type": "string"}
SHORT = {"type": "string", "maxLength": 20}
NUMBER = {"type": "integer"}


def definition(name: str, spec: Manifest, **more: object) -> Manifest:
    """A definition whose spec has this schema; `more` stands beside it at the root."""
    status = {"type": "object", "properties": {"count": NUMBER}, **more.pop("status", {})}  # type: ignore[dict-item]  # a mapping
    schema = {"type": "object", "properties": {"spec": spec, "status": status}, **more}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"plural": f"{name}s", "kind": name.capitalize()}
    whole = {"group": "${ns}.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return named(f"{name}s.${{ns}}.example.com", "CustomResourceDefinition", "apiextensions.k8s.io/v1", spec=whole)


def ruled(schema: Manifest, *rules: str | Manifest) -> Manifest:
    """A schema with rules."""
    return {**schema, "x-kubernetes-validations": [{"rule": each} if isinstance(each, str) else each for each in rules]}


def fields(**properties: Manifest) -> Manifest:
    """An object's schema."""
    return {"type": "object", "properties": properties}


def one(kind: str, **spec: object) -> Manifest:
    """An object of a kind that a sequence defined."""
    return named("a", kind.capitalize(), "${ns}.example.com/v1", spec=spec)


def place(kind: str, name: str = "") -> str:
    """Where objects of that kind are."""
    path = f"/apis/${{ns}}.example.com/v1/namespaces/${{ns}}/{kind}s"
    return f"{path}/{name}" if name else path


def defined(name: str, spec: Manifest, **more: object) -> tuple[Step, ...]:
    """Make a definition and wait until it is served."""
    return (
        post(CRDS, definition(name, spec, **more), unseen=True),
        get(place(name), until=200, unseen=True),
    )


def refused(*rules: str | Manifest, schema: Manifest | None = None, **more: object) -> Step:
    """A definition whose spec has rules, which may not be accepted."""
    whole = schema or fields(a=SHORT, n=NUMBER, list={"type": "array", "maxItems": 5, "items": SHORT})
    return post(f"{CRDS}?dryRun=All", definition("bad", ruled(whole, *rules), **more), loose=True)


SOON = Reason(
    "the answer to a CustomResourceDefinition already says that it is established",
    "no controller has to look at it first",
)


TYPES = Reason(
    "expressions are not checked against the schema of what they look at: a field that it does not name, or values"
    " that never fit, are found when an object comes",
    "the CEL library (cel-expr-python) takes types from protocol buffers only",
)
COSTS = Reason(
    "what a validation rule could cost is not estimated: a rule that Kubernetes finds too dear is accepted, and an"
    " evaluation ends after 10,000 rounds of its macros",
    "the CEL library bounds evaluations in its own way",
)
WORDS = Reason(
    "some faults of an expression are told in other words, or at a neighbouring place",
    "the words are those of the CEL library",
)


def accepted(*rules: str | Manifest, schema: Manifest | None = None) -> Step:
    """A definition whose spec has rules, which are accepted."""
    return refused(*rules, schema=schema).differing(SOON, "body")


FEW = {"type": "array", "maxItems": 50, "items": SHORT}
MAP = {"type": "object", "additionalProperties": SHORT}
TIMED = ruled(
    fields(
        when={"type": "string", "format": "date-time"},
        day={"type": "string", "format": "date"},
        span={"type": "string", "format": "duration"},
        times={"type": "array", "maxItems": 5, "items": {"type": "string", "format": "date-time"}},
        text=SHORT,
    ),
    "!has(self.when) || self.when > timestamp('2020-01-01T00:00:00Z')",
    "!has(self.when) || !has(oldSelf.when) || self.when >= oldSelf.when",
    "self.?day.orValue(timestamp('2020-01-01T00:00:00Z')).getFullYear() == 2020",
    "!has(self.span) || self.span <= duration('1h')",
    "!has(self.times) || self.times.all(t, t.getHours() < 12) && self.times[0] == timestamp('2020-01-01T00:00:00Z')",
    "!has(self.text) || self.text == '2020-01-01T00:00:00Z'",
)
KEYED = {
    "type": "array",
    "maxItems": 10,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": ruled(
        {"type": "object", "required": ["name"], "properties": {"name": SHORT, "size": NUMBER}},
        {"rule": "self.size >= oldSelf.size", "message": "never smaller"},
    ),
}
LIFE = ruled(
    fields(
        size=ruled(
            NUMBER, "self > 0", {"rule": "self >= oldSelf", "message": "may only grow", "reason": "FieldValueForbidden"}
        ),
        name=ruled(
            SHORT,
            {"rule": "self.startsWith('n')", "messageExpression": "'not n: ' + self"},
            {"rule": "self == oldSelf", "message": "is immutable", "reason": "FieldValueInvalid"},
        ),
        once=ruled(
            SHORT, {"rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": True, "message": "first!"}
        ),
        keyed=KEYED,
        labels={"type": "object", "maxProperties": 5, "additionalProperties": ruled(SHORT, "self != 'bad'")},
        list={
            "type": "array",
            "maxItems": 5,
            "items": ruled(SHORT, {"rule": "self != 'x'", "reason": "FieldValueDuplicate"}),
        },
        set={"type": "array", "maxItems": 5, "x-kubernetes-list-type": "set", "items": SHORT},
        either={"x-kubernetes-int-or-string": True},
        raw={"type": "string", "format": "byte", "maxLength": 20},
        real={"type": "number"},
        none={"type": "string", "nullable": True, "maxLength": 5},
        **{"in-dash": SHORT, "namespace": SHORT, "a.b": SHORT, "x__y": SHORT},
        enough=ruled(
            fields(min=NUMBER, max=NUMBER),
            {
                "rule": "self.min <= self.max",
                "fieldPath": ".min",
                "reason": "FieldValueRequired",
                "message": "below max",
            },
        ),
    ),
    "!has(self.either) || type(self.either) == string || self.either > 2",
    "!has(self.raw) || self.raw == b'abc'",
    "!has(self.real) || self.real < 2.5",
    "!has(self.__namespace__) || self.__namespace__ == 'n'",
    "!has(self.in__dash__dash) || self.in__dash__dash == 'd'",
    "!has(self.a__dot__b) || self.a__dot__b == 'e'",
    "!has(self.x__underscores__y) || self.x__underscores__y == 'u'",
    "!has(self.set) || self.set == ['a', 'b']",
    "!has(self.keyed) || self.keyed.all(k, k.size < 10)",
    {"rule": "!has(self.keyed) || self.keyed.exists(k, k.name == 'must')", "fieldPath": ".keyed"},
    "!has(self.list) || self.list[3] == 'd'",
)
THINGS = place("thing")

SEQUENCES: tuple[Sequence, ...] = (
    sequence(
        "rules judge objects",
        *defined(
            "thing",
            LIFE,
            status=ruled({}, "self.count < 5"),
            **{
                "x-kubernetes-validations": [
                    {"rule": "self.metadata.name != 'root'", "message": "not this name"},
                    {"rule": "!has(self.status) || self.status.count != 3"},
                ]
            },
        ),
        post(THINGS, one("thing", size=0, name="bad", once="x"), loose=True),
        post(THINGS, named("root", "Thing", "${ns}.example.com/v1", spec={}), loose=True),
        post(THINGS, one("thing", size=3, name="n1", once="first", keyed=[{"name": "must", "size": 1}])),
        patch(f"{THINGS}/a", {"spec": {"size": 2}}),
        patch(f"{THINGS}/a", {"spec": {"size": 4, "name": "n2"}}, loose=True),
        patch(f"{THINGS}/a", {"spec": {"once": "second"}}),
        patch(f"{THINGS}/a", {"spec": {"keyed": [{"name": "must", "size": 0}]}}),
        patch(f"{THINGS}/a", {"spec": {"keyed": [{"name": "other", "size": 0}]}}),
        patch(f"{THINGS}/a", {"spec": {"keyed": [{"name": "other", "size": 0}, {"name": "must", "size": 11}]}}),
        patch(f"{THINGS}/a", {"spec": {"labels": {"a": "bad", "b": "good"}}}),
        patch(f"{THINGS}/a", {"spec": {"list": ["a", "x", "x"]}}, loose=True),
        patch(f"{THINGS}/a", {"spec": {"set": ["b", "a"]}}),
        patch(f"{THINGS}/a", {"spec": {"set": ["b", "c"]}}),
        patch(f"{THINGS}/a", {"spec": {"either": 1}}),
        patch(f"{THINGS}/a", {"spec": {"either": "1"}}),
        patch(f"{THINGS}/a", {"spec": {"raw": "eHl6", "real": 3}}, loose=True),
        patch(f"{THINGS}/a", {"spec": {"raw": "YWJj", "real": 2}}),
        patch(f"{THINGS}/a", {"spec": {"in-dash": "x", "namespace": "x", "a.b": "x", "x__y": "x"}}, loose=True),
        patch(f"{THINGS}/a", {"spec": {"in-dash": "d", "namespace": "n", "a.b": "e", "x__y": "u"}}),
        patch(f"{THINGS}/a", {"spec": {"enough": {"min": 3, "max": 1}}}),
        patch(f"{THINGS}/a", {"spec": {"size": "text"}}),
        patch(f"{THINGS}/a/status", {"status": {"count": 7}}),
        patch(f"{THINGS}/a/status", {"status": {"count": 3}}),
        patch(f"{THINGS}/a/status", {"status": {"count": 1}}),
        apply(
            f"{THINGS}/b?dryRun=All",
            {"apiVersion": "${ns}.example.com/v1", "kind": "Thing", "metadata": {"name": "b"}, "spec": {"size": -1}},
        ),
    ),
    sequence(
        "rules know moments and spans",
        *defined("timed", TIMED),
        post(f"{place('timed')}?dryRun=All", one("timed", when="2019-01-01T00:00:00Z"), loose=True),
        post(place("timed"), one("timed", when="2021-01-01T00:00:00Z", text="2020-01-01T00:00:00Z")),
        patch(f"{place('timed')}/a", {"spec": {"when": "2020-12-31T23:00:00-02:00"}}, loose=True),
        patch(f"{place('timed')}/a", {"spec": {"when": "2020-12-31T23:00:00Z"}}, loose=True),
        patch(f"{place('timed')}/a", {"spec": {"day": "2021-01-01"}}, loose=True),
        patch(f"{place('timed')}/a", {"spec": {"day": "2020-12-31", "span": "61m"}}, loose=True),
        patch(f"{place('timed')}/a", {"spec": {"day": "2020-12-31", "span": "59m"}}, loose=True),
        patch(f"{place('timed')}/a", {"spec": {"times": ["2020-01-01T00:00:00Z", "2020-01-01T13:00:00Z"]}}, loose=True),
        patch(f"{place('timed')}/a", {"spec": {"times": ["2020-01-01T01:00:00Z"]}}, loose=True),
        patch(f"{place('timed')}/a", {"spec": {"times": ["2020-01-01T01:00:00+01:00"]}}, loose=True),
    ),
    sequence(
        "rules spare what was there before",
        *defined("old", fields(a=SHORT, n=NUMBER, in_=fields(x=SHORT, y=SHORT))),
        post(place("old"), one("old", a="bad", n=1, in_={"x": "bad", "y": "bad"})),
        get(f"{CRDS}/olds.${{ns}}.example.com", keep={"version": "metadata.resourceVersion"}, unseen=True),
        patch(
            f"{CRDS}/olds.${{ns}}.example.com",
            [
                {
                    "op": "add",
                    "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
                    "value": ruled(
                        fields(
                            a=ruled(SHORT, "self != 'bad'"),
                            n=NUMBER,
                            in_=ruled(fields(x=ruled(SHORT, "self != 'bad'"), y=SHORT), "self.y != 'bad'"),
                        ),
                        "self.n < 5",
                    ),
                }
            ],
            "application/json-patch+json",
            unseen=True,
        ),
        patch(f"{place('old')}/a?dryRun=All", {"spec": {"n": 7}}, until=422, unseen=True),
        patch(f"{place('old')}/a", {"metadata": {"labels": {"a": "b"}}}, loose=True),
        patch(f"{place('old')}/a", {"spec": {"n": 2}}, loose=True),
        patch(f"{place('old')}/a", {"spec": {"n": 7}}, loose=True),
        patch(f"{place('old')}/a", {"spec": {"in_": {"y": "good"}}}, loose=True),
        patch(f"{place('old')}/a", {"spec": {"a": "worse"}}, loose=True),
        put(f"{place('old')}/a", one("old", a="bad", n=1), loose=True),
    ),
    sequence(
        "rules that are refused",
        refused("self.nothing == 1", "self.a == 1", {"rule": "has(self.b)"}).differing(TYPES),
        refused("self.a").differing(TYPES),
        refused("true", {"rule": "true", "messageExpression": "self.n"}).differing(TYPES),
        refused("self.a ="),
        refused("self.n + 1"),
        refused("1 + 1"),
        refused("true && 'a'").differing(WORDS, "body"),
        refused({"rule": " "}, {"rule": "true", "message": " "}, {"rule": "true", "message": "a\nb"}),
        refused({"rule": "true\n&& true"}, {"rule": "true", "messageExpression": " "}),
        refused({"rule": "true", "reason": "Nothing"}, {"rule": "true", "fieldPath": ".none"}),
        refused({"rule": "true", "fieldPath": "a"}, {"rule": "true", "fieldPath": ".list[0]"}),
        refused({"rule": "true", "messageExpression": "1"}),
        refused({"rule": "true", "optionalOldSelf": True}),
        accepted("oldSelf.a == self.a", {"rule": "oldSelf.?a.orValue('') == self.a", "optionalOldSelf": True}),
        refused("true", schema=fields(l={**FEW, "items": ruled(SHORT, "self == oldSelf")})),
        refused("true", schema=fields(l={"type": "array", "items": ruled(TEXT, "self.contains('x')")})).differing(
            COSTS
        ),
        refused("self.l.all(x, self.l.all(y, x == y))", schema=fields(l={"type": "array", "items": TEXT})).differing(
            COSTS
        ),
        accepted("self.l.all(x, self.l.all(y, x == y))", schema=fields(l=FEW)),
        accepted("self.m.all(k, self.m[k].matches('^[a-z]+$'))", schema=fields(m={**MAP, "maxProperties": 9})),
        accepted("self.m.all(k, v, v.size() < 5)", schema=fields(m={**MAP, "maxProperties": 9})),
        accepted("self.e > 1 && self.e == 'x'", schema=fields(e={"x-kubernetes-int-or-string": True})),
    ),
)
