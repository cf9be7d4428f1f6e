"""Custom kinds: defined, established, changed, and what their schemas make of objects."""

from isthmus.api.scheme import Manifest
from tests.differential.steps import (
    CRDS,
    STRATEGIC,
    TABLE,
    Sequence,
    Step,
    apply,
    delete,
    get,
    named,
    patch,
    post,
    put,
    sequence,
)

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
GROUP = "${ns}.dev"
NAME = f"widgets.{GROUP}"
WIDGETS = f"/apis/{GROUP}/v1/namespaces/${{ns}}/widgets"
W = f"{WIDGETS}/w"
CRD = f"{CRDS}/{NAME}"


def of(spec: Manifest, **root: object) -> Manifest:
    """A version's schema, by that of the spec."""
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}, **root}}


def fields(**properties: object) -> Manifest:
    """An object's schema."""
    return {"type": "object", "properties": properties}


def version(name: str = "v1", spec: Manifest | None = None, **more: object) -> Manifest:
    """A served version; v1 is stored."""
    schema = of(spec or fields(size=NUMBER))
    return {"name": name, "served": True, "storage": name == "v1", "schema": schema, **more}


def definition(*versions: Manifest, names: Manifest | None = None, **spec: object) -> Manifest:
    """A CustomResourceDefinition of widgets in the sequence's own group."""
    called = {"plural": "widgets", "kind": "Widget", **(names or {})}
    whole = {"group": GROUP, "scope": "Namespaced", "names": called, "versions": list(versions) or [version()], **spec}
    return named(NAME, "CustomResourceDefinition", "apiextensions.k8s.io/v1", spec=whole)


def widget(name: str = "w", **more: object) -> Manifest:
    """A Widget of v1."""
    return named(name, "Widget", f"{GROUP}/v1", **more)


def defined(
    *versions: Manifest, path: str = WIDGETS, names: Manifest | None = None, scope: str = "Namespaced"
) -> tuple[Step, ...]:
    """The definition is made, and served."""
    made = definition(*versions, names=names, scope=scope)
    return (post(CRDS, made, unseen=True), get(path, until=200, unseen=True))


ESTABLISHED = ("status.conditions.1.status", "True")
LIFE = sequence(
    "definitions: life",
    post(CRDS, definition(version(subresources={"status": {}}), names={"shortNames": ["wd"], "categories": ["all"]})),
    get(CRD, until=ESTABLISHED),
    get(WIDGETS, until=200),
    post(CRDS, definition()),
    post(WIDGETS, widget(spec={"size": 1}, status={"x": "y"})),
    post(WIDGETS, widget("strict", spec={"size": "x"})),
    get(W),
    get(f"{CRD}/status"),
    patch(f"{CRD}/status", {"status": {"storedVersions": []}}),
    patch(CRD, {"spec": {"scope": "Cluster"}}),
    patch(CRD, {"spec": {"group": "other.dev"}}),
    patch(CRD, {"spec": {"names": {"kind": "Gadget"}}}),
    patch(CRD, {"spec": {"names": {"plural": "gadgets"}}}),
    patch(CRD, {"metadata": {"labels": {"a": "b"}}}),
    delete(CRD),
    get(CRD, until=404),
    get(WIDGETS, until=404),
    post(WIDGETS, widget()),
)

BAD: tuple[Manifest, ...] = (
    {**definition(), "metadata": {"name": "other.dev"}},
    definition(scope="Both"),
    definition(group="nodots"),
    definition(group="x.k8s.io"),
    definition(names={"kind": ""}),
    definition(names={"plural": "Widgets"}),
    definition(names={"kind": "widget_"}),
    definition(names={"shortNames": ["A_"]}),
    definition(names={"listKind": "Widget"}),
    definition(version("v1"), version("v2", storage=True)),
    definition(version("v2")),
    definition(version("v1"), version("v1")),
    definition(version("v1"), version("B_")),
    definition(version(schema=None)),
    definition(version(schema={})),
    definition(versions=[]),
    definition(conversion={"strategy": "Other"}),
    definition(conversion={"strategy": "Webhook"}),
    definition(version(subresources={"scale": {}})),
    definition(
        version(subresources={"scale": {"specReplicasPath": "spec.x", "statusReplicasPath": ".spec.y"}}),
    ),
    definition(version(additionalPrinterColumns=[{"name": "X", "type": "colour", "jsonPath": ".spec.size"}])),
    definition(version(additionalPrinterColumns=[{"name": "X", "type": "string", "jsonPath": "spec.size"}])),
    definition(version(selectableFields=[{"jsonPath": ".spec.none"}])),
    definition(version(selectableFields=[{"jsonPath": ".spec.size"}, {"jsonPath": ".spec.size"}])),
    definition(version(deprecationWarning="x")),
    definition(preserveUnknownFields=True),
    definition(
        version("v1", fields(a={"type": "array", "items": TEXT, "x-kubernetes-list-type": "map"})),
    ),
    definition(version("v1", fields(a={"type": "nothing"}, b={}, c={"type": "string", "default": 3}))),
    definition(version("v1", fields(a={"type": "array"}, b={"type": "string", "pattern": "("}))),
    definition(version("v1", {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT})),
    definition(version("v1", fields(a={"type": "string", "enum": [], "format": "nonsense"}))),
    definition(version("v1", {"$ref": "#/x"})),
)
REFUSED = sequence("definitions: refused", *(post(f"{CRDS}?dryRun=All", each) for each in BAD))

TAKEN = sequence(
    "definitions: names that are taken",
    *defined(names={"shortNames": ["wd"], "singular": "widget"}),
    post(
        CRDS,
        {
            **definition(names={"plural": "gadgets", "kind": "Widget", "shortNames": ["wd"]}),
            "metadata": {"name": f"gadgets.{GROUP}"},
        },
        unseen=True,
    ),
    get(f"{CRDS}/gadgets.{GROUP}", until=("status.conditions.0.status", "False")),
    get(f"/apis/{GROUP}/v1/gadgets"),
    delete(CRD, unseen=True),
    get(f"{CRDS}/gadgets.{GROUP}", until=("status.conditions.1.status", "True")),
)

KINDS_OF_VALUES = fields(
    text={"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^a"},
    number={"type": "integer", "minimum": 1, "maximum": 5, "multipleOf": 2},
    real={"type": "number", "exclusiveMinimum": True, "minimum": 0},
    flag={"type": "boolean", "default": True},
    either={"x-kubernetes-int-or-string": True},
    choice={"type": "string", "enum": ["a", "b"]},
    moment={"type": "string", "format": "date-time"},
    short={"type": "integer", "format": "int32"},
    nothing={"type": "string", "nullable": True},
    nothingelse={"type": "string", "nullable": True, "default": "x"},
    kept={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    half={"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": fields(b=NUMBER)}},
    nested={**fields(deep={"type": "string", "default": "d"}, other=TEXT), "default": {}},
    needed={**fields(a=TEXT), "required": ["a"]},
    map={"type": "object", "additionalProperties": NUMBER, "maxProperties": 2},
    list={"type": "array", "items": fields(a={"type": "integer", "default": 1}), "maxItems": 2},
    set={"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
    keyed={
        "type": "array",
        "items": {**fields(k=TEXT, v=TEXT), "required": ["k"]},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    },
    inner={"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    any={"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
)
VALUES: tuple[Manifest, ...] = (
    {},
    {"text": "a"},
    {"text": "bbbbbb"},
    {"text": 1, "number": "x", "flag": "yes"},
    {"number": 7},
    {"number": 2.5},
    {"real": 0},
    {"either": True},
    {"either": "x", "any": 1.5},
    {"choice": "c"},
    {"moment": "yesterday"},
    {"short": 1 << 40},
    {"nothing": None, "nothingelse": None, "flag": None, "text": None, "nested": None},
    {"kept": {"a": {"b": [None, 1]}}, "half": {"a": {"b": 1, "c": 2}, "d": 3}},
    {"nested": {"other": "x", "more": "y"}, "unknown": {"a": 1}},
    {"needed": {}},
    {"needed": None},
    {"map": {"a": 1, "b": 2, "c": 3}},
    {"map": {"a": "x", "b": None}},
    {"list": [{}, {"a": 2, "b": 3}]},
    {"list": [1, None, {}]},
    {"set": ["a", "b", "a"]},
    {"keyed": [{"k": "a"}, {"k": "a", "v": "x"}]},
    {"keyed": [{"v": "a"}]},
    {"inner": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "colour": "red"}, "more": 1}},
    {"inner": {"kind": "X"}},
)
SCHEMAS = sequence(
    "definitions: what schemas make of objects",
    *defined(version("v1", KINDS_OF_VALUES)),
    *(
        post(f"{WIDGETS}?dryRun=All&fieldValidation={mode}", widget(spec=value), loose=True)
        for value in VALUES
        for mode in ("Warn", "Strict")
    ),
    post(WIDGETS, widget(spec="x")),
    post(WIDGETS, widget(spec=None)),
    post(WIDGETS, widget(more=1, metadata={"colour": "red", "labels": {"a": "b"}})),
    patch(W, {"spec": {"number": 3}}),
    patch(W, {"spec": {"number": 4}}, STRATEGIC),
    patch(W, [{"op": "add", "path": "/spec/number", "value": 9}], "application/json-patch+json"),
    put(W, widget(spec={"number": 2})),
    get(W).keeping(rv="metadata.resourceVersion"),
    put(W, widget(spec={"number": 2}, metadata={"resourceVersion": "${rv}"})),
    put(W, widget(spec={"number": 4}, metadata={"resourceVersion": "${rv}"})),
    put(W, widget(spec={"number": 6}, metadata={"resourceVersion": "${rv}"})),
)

ODD_INNER = {"inner": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "A_", "labels": {"a b": "c"}}}}
EMBEDDED = sequence(
    "definitions: metadata of embedded objects",
    *defined(version("v1", KINDS_OF_VALUES)),
    post(f"{WIDGETS}?dryRun=All", widget(spec=ODD_INNER)),
)

OLDER = WIDGETS.replace("/v1/", "/v1beta1/")
VERSIONS = sequence(
    "definitions: versions",
    *defined(version("v1", fields(size=NUMBER, b=TEXT)), version("v1beta1", fields(size=NUMBER, a=TEXT)), path=OLDER),
    post(WIDGETS, widget(spec={"size": 1, "b": "x"})),
    get(f"{OLDER}/w"),
    patch(f"{OLDER}/w", {"spec": {"a": "y", "size": 2}}),
    get(W),
    post(OLDER, named("old", "Widget", f"{GROUP}/v1beta1", spec={"a": "z"})),
    get(f"{WIDGETS}/old"),
    get(OLDER),
    get(f"{OLDER}?labelSelector=none"),
    post(OLDER, widget("mixed")),
    patch(
        CRD,
        {
            "spec": {
                "versions": [
                    version("v1", fields(size=NUMBER, b=TEXT), storage=False),
                    version("v1beta1", fields(size=NUMBER, a=TEXT), storage=True, deprecated=True),
                ]
            }
        },
        until=("status.storedVersions", ["v1", "v1beta1"]),
    ),
    # The new definition is in force once its version warns.
    get(f"{OLDER}/old", until=("Warning", "deprecated"), unseen=True),
    patch(f"{OLDER}/w", {"spec": {"a": "z"}}, until=200),
    patch(f"{OLDER}/old", {"spec": {"a": "y"}}),
    patch(f"{OLDER}/mixed", {"spec": {"a": "y"}}),
    get(W),
    patch(CRD, {"spec": {"versions": [version("v1beta1", fields(size=NUMBER, a=TEXT), storage=True)]}}),
    patch(f"{CRD}/status", {"status": {"storedVersions": ["v1beta1"]}}),
    patch(CRD, {"spec": {"versions": [version("v1beta1", fields(size=NUMBER, a=TEXT), storage=True)]}}),
    get(W, until=404),
    get(f"{OLDER}/w"),
)

SCHEMA_CHANGED = sequence(
    "definitions: a schema is changed",
    *defined(version("v1", fields(size=NUMBER, gone=TEXT))),
    post(WIDGETS, widget(spec={"size": 1, "gone": "x"})),
    patch(CRD, {"spec": {"versions": [version("v1", fields(size=NUMBER, new={"type": "string", "default": "d"}))]}}),
    get(W, until=("spec.new", "d")),
    patch(W, {"spec": {"size": 2}}),
    patch(CRD, {"spec": {"versions": [version("v1", fields(size={"type": "integer", "maximum": 1}))]}}),
    get(W, until=("spec.new", None)),
    patch(W, {"metadata": {"labels": {"a": "b"}}}),
    patch(W, {"spec": {"size": 3}}, until=422),
    patch(W, {"spec": {"size": 1}}),
    patch(CRD, {"metadata": {"finalizers": None}}, unseen=True),
    delete(W),
)

REPLICAS = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
SCALE = sequence(
    "definitions: scale and status",
    *defined(
        version(
            "v1",
            fields(replicas=NUMBER, size=NUMBER),
            subresources={"status": {}, "scale": {**REPLICAS, "labelSelectorPath": ".status.selector"}},
        )
    ),
    post(WIDGETS, widget(spec={"size": 1}, status={"replicas": 3})),
    get(f"{W}/scale"),
    patch(f"{W}/scale", {"spec": {"replicas": 4}}),
    get(f"{W}/scale"),
    patch(f"{W}/status", {"status": {"replicas": 2, "selector": "a=b"}, "spec": {"size": 9}}),
    get(f"{W}/scale"),
    put(f"{W}/scale", named("w", "Scale", "autoscaling/v1", spec={"replicas": 6})),
    put(f"{W}/scale", named("w", "Scale", "autoscaling/v1", spec={"replicas": -6})),
    patch(W, {"status": {"replicas": 9}}),
    patch(f"{W}/status", {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}),
    get(W).keeping(rv="metadata.resourceVersion"),
    put(f"{W}/status", widget(status={"replicas": 5}, metadata={"resourceVersion": "${rv}"})),
    put(f"{W}/status", widget(status={"replicas": 5})),
    apply(f"{W}/status", widget(status={"more": 1}), "s"),
    get(f"{W}/nothing"),
    post(f"{W}/status", widget()),
    get(W),
)

COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Text", "type": "string", "jsonPath": ".spec.text", "description": "what it says", "priority": 1},
    {"name": "When", "type": "date", "jsonPath": ".spec.when"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Flag", "type": "boolean", "jsonPath": ".spec.flag"},
    {"name": "All", "type": "string", "jsonPath": ".spec.list[*].a"},
    {"name": "Map", "type": "string", "jsonPath": ".spec.map"},
]
SHOWN = fields(
    size=NUMBER,
    text=TEXT,
    when={"type": "string", "format": "date-time"},
    flag={"type": "boolean"},
    list={"type": "array", "items": fields(a=TEXT)},
    map={"type": "object", "additionalProperties": TEXT},
)
PRINTED = sequence(
    "definitions: columns and selectable fields",
    *defined(
        version(
            "v1",
            SHOWN,
            additionalPrinterColumns=COLUMNS,
            selectableFields=[{"jsonPath": ".spec.size"}, {"jsonPath": ".spec.text"}, {"jsonPath": ".spec.flag"}],
        )
    ),
    post(
        WIDGETS,
        widget(
            spec={
                "size": 1,
                "text": "t",
                "when": "2001-01-01T00:00:00Z",
                "flag": True,
                "list": [{"a": "x"}, {"a": "y"}],
                "map": {"k": "v"},
            },
            status={"conditions": [{"type": "Ready", "status": "True"}]},
        ),
    ),
    post(WIDGETS, widget("empty")),
    get(W, TABLE),
    get(WIDGETS, TABLE),
    get(f"{WIDGETS}?includeObject=None", TABLE),
    get(f"{WIDGETS}?fieldSelector=spec.size=1"),
    get(f"{WIDGETS}?fieldSelector=spec.size!=1,spec.text="),
    get(f"{WIDGETS}?fieldSelector=spec.flag=true"),
    get(f"{WIDGETS}?fieldSelector=spec.when=x"),
    get(WIDGETS),
)

DEPRECATED = sequence(
    "definitions: deprecated versions warn",
    *defined(
        version("v1", deprecated=True),
        version("v1beta1", deprecated=True, deprecationWarning="use something else"),
        path=OLDER,
    ),
    post(WIDGETS, widget(spec={"size": 1})),
    get(W),
    get(WIDGETS),
    get(f"{OLDER}/w"),
    patch(f"{OLDER}/w", {"spec": {"size": 2}}),
    delete(W),
)

CLUSTER_WIDE = sequence(
    "definitions: cluster-wide kinds",
    *defined(version("v1"), path=f"/apis/{GROUP}/v1/widgets", scope="Cluster"),
    post(f"/apis/{GROUP}/v1/widgets", widget()),
    post(f"/apis/{GROUP}/v1/widgets", widget(metadata={"namespace": "x"})),
    post(WIDGETS, widget()),
    get(W),
    get(f"/apis/{GROUP}/v1/widgets/w"),
    delete(f"/apis/{GROUP}/v1/widgets"),
    get(f"/apis/{GROUP}/v1"),
    get(f"/apis/{GROUP}"),
    get(f"/apis/{GROUP}/v2"),
)

SEQUENCES: tuple[Sequence, ...] = (
    LIFE, REFUSED, TAKEN, SCHEMAS, EMBEDDED, VERSIONS, SCHEMA_CHANGED, SCALE, PRINTED, DEPRECATED, CLUSTER_WIDE,
)  # fmt: skip
