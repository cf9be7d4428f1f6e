"""Server-side apply: fields owned, shared, taken, dropped, of custom and built-in kinds."""

from isthmus.api.scheme import Manifest
from tests.differential.steps import (
    APPLY,
    CRDS,
    DEPLOYMENTS,
    MAPS,
    MERGE,
    PODS,
    SERVICES,
    STRATEGIC,
    YAML,
    Sequence,
    Step,
    apply,
    delete,
    get,
    named,
    patch,
    pod,
    post,
    put,
    sequence,
)

TEXT = {"type": "string"}
PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {
        "port": {"type": "integer"},
        "protocol": {"type": "string", "default": "TCP"},
        "name": TEXT,
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
    },
}
SPEC = {
    "type": "object",
    "properties": {
        "text": TEXT,
        "count": {"type": "integer", "default": 3},
        "ports": {
            "type": "array",
            "items": PORT,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
        },
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
        "list": {"type": "array", "items": TEXT},
        "map": {"type": "object", "additionalProperties": TEXT},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
        "struct": {"type": "object", "properties": {"a": TEXT, "b": {"type": "object", "properties": {"c": TEXT}}}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "either": {"x-kubernetes-int-or-string": True},
    },
}
STATUS = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SCHEMA = {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}}
DEFINITION = named(
    "things.test.dev",
    "CustomResourceDefinition",
    "apiextensions.k8s.io/v1",
    spec={
        "group": "test.dev",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {"name": name, "served": True, "storage": name == "v1", "schema": SCHEMA, "subresources": {"status": {}}}
            for name in ("v1", "v1alpha1")
        ],
    },
)
# Whichever sequence comes first makes it; all leave it.
WITH_THINGS = (
    post(CRDS, DEFINITION, unseen=True),
    get("/apis/test.dev/v1alpha1/things", until=200, unseen=True),
    get("/apis/test.dev/v1/things", until=200, unseen=True),
)
THINGS = "/apis/test.dev/v1/namespaces/${ns}/things"
OLD_THINGS = "/apis/test.dev/v1alpha1/namespaces/${ns}/things"
ONE, OLD = f"{THINGS}/o", f"{OLD_THINGS}/o"


def thing(**spec: object) -> Manifest:
    """A Thing with a spec."""
    return named("o", "Thing", "test.dev/v1", spec=spec)


def old_thing(**spec: object) -> Manifest:
    """The same in the older version."""
    return named("o", "Thing", "test.dev/v1alpha1", spec=spec)


def things(name: str, *steps: Step) -> Sequence:
    """A sequence on one Thing."""
    return sequence(name, *WITH_THINGS, *steps)


def by(manager: str, *, force: bool = False, **spec: object) -> Step:
    """One apply of a spec."""
    return apply(ONE, thing(**spec), manager, force=force)


def changed(manager: str, body: object, media: str = MERGE, rest: str = "") -> Step:
    """One patch."""
    return patch(f"{ONE}{rest}?fieldManager={manager}", body, media)


LEFT_OUT = things(
    "apply: a field left out goes if nobody else owns it",
    by("a", text="x", map={"k": "1", "l": "2"}, struct={"a": "1", "b": {"c": "2"}}),
    by("b", text="x", map={"l": "2"}),
    by("a", map={"k": "1"}),
    by("b", map={}),
    apply(ONE, named("o", "Thing", "test.dev/v1"), "a"),
)
CONFLICTS = things(
    "apply: conflicts name managers and fields",
    by("a", text="x", ports=[{"port": 80, "name": "http"}]),
    by("b", text="y"),
    by("b", text="y", ports=[{"port": 80, "name": "web"}]),
    changed("c", {"spec": {"count": 9}}),
    apply(ONE, thing(text="y", count=7, ports=[{"port": 80, "name": "web"}]), "b", loose=True),
    by("b", force=True, text="y", count=7),
    by("a", text="x"),
)
KEYED = things(
    "apply: keyed lists merge by key",
    by("a", ports=[{"port": 80, "name": "http"}, {"port": 81}]),
    by("b", ports=[{"port": 53, "protocol": "UDP"}, {"port": 80}]),
    by("a", ports=[{"port": 81}, {"port": 82}]),
    by("a", ports=[]),
    by("b"),
    by("b", ports=[{"port": 1, "tags": ["x", "y"]}]),
    by("a", ports=[{"port": 1, "tags": ["y", "z"]}]),
    by("b", ports=[{"port": 1}]),
)
SETS = things(
    "apply: sets merge by value, atomics as wholes",
    by("a", set=["x", "y"], list=["1", "2"], whole={"k": "1"}),
    by("b", set=["y", "z"]),
    by("b", set=["z", "y"], list=["1"]),
    by("b", force=True, set=["z"], list=["1"], whole={"l": "1"}),
    by("a", set=["x"]),
    by("a", set=["x", "x"]),
    by("a", set=[]),
)
FIRST = things(
    "apply: a first apply meets what was made otherwise",
    post(f"{THINGS}?fieldManager=creator", thing(text="x", map={"k": "1"})),
    by("a", text="x"),
    by("a", text="y"),
    by("a", force=True, map={"k": "2"}),
    by("a"),
)
UPDATES = things(
    "apply: updates take what they change",
    by("a", text="x", ports=[{"port": 80, "name": "http"}], map={"k": "1"}),
    changed("b", {"spec": {"text": "y"}}),
    changed("b", {"spec": {"ports": [{"port": 80, "name": "web"}, {"port": 81}]}}),
    changed("c", {"spec": {"map": None}}),
    changed("c", {"metadata": {"labels": {"l": "m"}, "annotations": {"n": "o"}}}),
    changed("c", {"metadata": {"labels": {"l": None}}}),
    changed("c", {"spec": {"open": {"deep": {"er": [1, {"a": 2}]}, "x": None}}}),
    by("a", text="y"),
    get(ONE).keeping(rv="metadata.resourceVersion"),
    put(f"{ONE}?fieldManager=d", {**thing(text="z", set=["s"]), "metadata": {"name": "o", "resourceVersion": "${rv}"}}),
    by("a", text="y"),
    by("a", force=True, text="y"),
)
STATUSES = things(
    "apply: a status is owned by its own path",
    post(f"{THINGS}?fieldManager=creator", thing(text="x")),
    changed("s", {"status": {"ready": True}, "spec": {"text": "z"}}, rest="/status"),
    apply(f"{ONE}/status", thing() | {"status": {"note": "n", "list": [{"a": 1}]}}, "t"),
    apply(f"{ONE}/status", thing() | {"status": {"ready": False}}, "t"),
    apply(f"{ONE}/status", thing() | {"status": {"ready": False}}, "t", force=True),
    apply(ONE, thing(text="y") | {"status": {"ready": True}}, "t", force=True),
    apply(
        f"{ONE}/status", {**thing(text="q"), "metadata": {"name": "o", "labels": {"a": "b"}}, "status": {"z": 1}}, "s"
    ),
    get(f"{ONE}/status"),
    apply(f"{THINGS}/none/status", named("none", "Thing", "test.dev/v1", status={"a": "b"}), "t"),
)
FORGOTTEN = things(
    "apply: owners are forgotten on demand",
    post(f"{THINGS}?fieldManager=creator", thing(text="x")),
    changed("b", {"metadata": {"managedFields": []}}),
    changed("b", {"spec": {"text": "y"}}),
    by("a", text="z"),
    by("a", text="y"),
    changed("b", {"metadata": {"managedFields": [{}]}}),
    changed("b", {"metadata": {"managedFields": [{"operation": "foo"}]}}),
    changed("b", {"metadata": {"managedFields": None}}),
)
VERSIONS = things(
    "apply: versions of one kind share their owners",
    by("a", text="x", map={"k": "1"}),
    apply(OLD, old_thing(text="y"), "a"),
    apply(OLD, old_thing(text="z"), "b"),
    by("b", text="z"),
    patch(f"{OLD}?fieldManager=c", {"spec": {"count": 5}}),
    get(OLD),
    get(ONE),
)
ODD: dict[str, Manifest] = {
    "an unknown field": {"spec": {"unknown": 1}},
    "a number for text": {"spec": {"text": 1}},
    "an item without keys": {"spec": {"ports": [{"name": "x"}]}},
    "an item twice": {"spec": {"ports": [{"port": 1}, {"port": 1}]}},
    "a map for a list": {"spec": {"ports": {"a": 1}}},
    "managed fields": {"metadata": {"name": "o", "managedFields": []}},
    "another version": {"apiVersion": "test.dev/v9"},
    "another kind": {"kind": "Other"},
    "no kind": {"kind": ""},
    "an old version": {"metadata": {"name": "o", "resourceVersion": "1"}},
    "another object": {"metadata": {"name": "o", "uid": "x"}},
    "another name": {"metadata": {"name": "p"}},
    "no name": {"metadata": {}},
    "another namespace": {"metadata": {"name": "o", "namespace": "other"}},
    "a null": {"spec": {"text": None}},
    "a null for a struct": {"spec": {"struct": None}},
    "an empty struct": {"spec": {"struct": {}}},
    "an empty map": {"spec": {"map": {}}},
    "what the schema leaves open": {"spec": {"open": {"a": {"b": [1]}}}},
    "a number or text": {"spec": {"either": "50%"}},
}
ODDITIES = things(
    "apply: odd ones end alike",
    post(f"{THINGS}?fieldManager=creator", thing(text="x")),
    *(apply(ONE, {**thing(), **change}, "a", force=True) for change in ODD.values()),
    Step("PATCH", f"{THINGS}/x", named("x", "Thing", "test.dev/v1"), APPLY),
    apply(ONE, "a: [", "a"),
    apply(ONE, "[1]", "a"),
    apply(ONE, "", "a"),
    Step("PATCH", f"{ONE}?fieldManager=a&force=perhaps", thing(), APPLY),
    Step("PATCH", f"{ONE}?fieldManager=a", thing(text="y"), "application/apply-patch+yaml; charset=utf-8"),
    Step(
        "PATCH",
        f"{ONE}?fieldManager=a&force=true",
        "apiVersion: test.dev/v1\nkind: Thing\nmetadata: {name: o}\nspec: {text: y}\n",
        APPLY,
    ),
    Step("PATCH", f"{ONE}?fieldManager=a&force=true", "kind: Thing\nkind: Thing\n", APPLY),
)
CREATED = things(
    "apply: objects are made by it",
    apply(ONE, {**thing(), "metadata": {"name": "o", "uid": "11111111-1111-1111-1111-111111111111"}}, "a"),
    apply(ONE, {**thing(), "metadata": {"name": "o", "resourceVersion": "1"}}, "a"),
    apply(f"{ONE}?dryRun=All", thing(text="x"), "a"),
    get(ONE),
    by("a", text="x"),
    apply(f"{ONE}?dryRun=All", thing(text="y"), "a"),
    by("a", text="x"),
    delete(ONE),
    apply(f"{MAPS}/m", named("m", data={"a": "b"}), "a"),
    apply(f"{MAPS}/m", named("m", data={"a": "b"}), "a"),
    apply(f"{MAPS}/m", "apiVersion: v1\nkind: ConfigMap\ndata: {c: d}\n", "a"),
    apply(f"{MAPS}/m", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {c: 1}\n", "a"),
    Step("PATCH", f"{MAPS}/m?fieldManager=a", named("m"), YAML),
)

TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "main", "image": "i:1", "ports": [{"containerPort": 80}]}]},
}
SELECTOR = {"matchLabels": {"a": "b"}}
D = f"{DEPLOYMENTS}/d"


def deployment(**spec: object) -> Manifest:
    return named("d", "Deployment", "apps/v1", spec=spec)


SIDE = {"name": "side", "image": "s:1"}
CHANGED = {"spec": {"containers": [{"name": "main", "image": "i:2", "ports": [{"containerPort": 80}]}]}}
SHARED_DEPLOYMENTS = sequence(
    "apply: deployments are shared",
    apply(D, deployment(selector=SELECTOR, template=TEMPLATE, replicas=2), "a"),
    apply(D, deployment(replicas=3), "scaler"),
    apply(D, deployment(replicas=3), "scaler", force=True),
    apply(D, deployment(selector=SELECTOR, template=TEMPLATE), "a"),
    apply(D, deployment(template={"spec": {"containers": [SIDE]}}), "injector"),
    apply(
        D,
        deployment(template={"spec": {"containers": [{"name": "side", "env": [{"name": "E", "value": "1"}]}]}}),
        "injector",
    ),
    patch(f"{D}?fieldManager=kubectl-edit", {"spec": {"template": CHANGED}}, STRATEGIC),
    apply(D, deployment(selector=SELECTOR, template=TEMPLATE), "a"),
    apply(D, named("d", "Deployment", "apps/v1"), "injector"),
    patch(f"{D}/status?fieldManager=controller", {"status": {"observedGeneration": 1}}),
    patch(f"{D}/scale?fieldManager=hpa", {"spec": {"replicas": 9}}),
    apply(D, deployment(replicas=4), "scaler"),
    apply(f"{D}/scale", named("d", "Scale", "autoscaling/v1", spec={"replicas": 8}), "hpa", force=True),
    get(D),
)
SHARED_SERVICES = sequence(
    "apply: services are shared",
    *(
        apply(f"{SERVICES}/s", named("s", "Service", spec=spec), manager, force=force)
        for manager, force, spec in (
            ("a", False, {"ports": [{"port": 80, "name": "http"}], "selector": {"a": "b"}}),
            ("b", False, {"ports": [{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 53, "name": "dns"}]}),
            ("a", False, {"ports": [{"port": 80, "name": "web"}], "selector": {"c": "d"}}),
            ("a", True, {"ports": [{"port": 80, "name": "web"}], "selector": {"c": "d"}}),
            ("b", False, {"ports": [{"port": 53, "name": "dns"}]}),
            ("a", False, {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "TCP"}]}),
            ("a", False, {}),
        )
    ),
)
LAST = '{"apiVersion":"v1","data":{"a":"1","b":"2"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"x"}}\n'
TAKEN_OVER = sequence(
    "apply: kubectl takes over from its client side",
    post(
        f"{MAPS}?fieldManager=kubectl-client-side-apply",
        named(
            "m",
            metadata={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": LAST}},
            data={"a": "1", "b": "2"},
        ),
    ),
    apply(f"{MAPS}/m", named("m", data={"a": "3"}), "kubectl"),
    patch(f"{MAPS}/m?fieldManager=other", {"data": {"a": "4"}}),
    apply(f"{MAPS}/m", named("m", data={"a": "5", "b": "6"}), "kubectl", loose=True),
)
OWNERS_OF_PODS = sequence(
    "apply: pods, finalizers and owners",
    apply(f"{PODS}/p", pod("p"), "a"),
    apply(f"{PODS}/p", {**pod("p"), "metadata": {"name": "p", "finalizers": ["x.io/a"]}}, "a"),
    apply(f"{PODS}/p", {**named("p", "Pod"), "metadata": {"name": "p", "finalizers": ["x.io/b"]}}, "b"),
    apply(f"{PODS}/p", pod("p"), "a"),
    apply(f"{PODS}/p/status", named("p", "Pod", status={"phase": "Running"}), "kubelet"),
    apply(f"{PODS}/p/status", named("p", "Pod", status={"conditions": [{"type": "Ready", "status": "True"}]}), "other"),
    patch(f"{PODS}/p/status?fieldManager=x", {"status": {"conditions": [{"type": "A", "status": "True"}]}}, STRATEGIC),
    delete(f"{PODS}/p"),
    apply(f"{PODS}/p", named("p", "Pod"), "b"),
    get(f"{PODS}/p"),
)

SEQUENCES: tuple[Sequence, ...] = (
    LEFT_OUT, CONFLICTS, KEYED, SETS, FIRST, UPDATES, STATUSES, FORGOTTEN, VERSIONS, ODDITIES, CREATED,
    SHARED_DEPLOYMENTS, SHARED_SERVICES, TAKEN_OVER, OWNERS_OF_PODS,
)  # fmt: skip
