"""Patches of the three kinds, good and bad, of maps, keyed lists, sets and atomics."""

from collections.abc import Mapping

from isthmus.api.scheme import Manifest
from tests.differential.steps import (
    DEPLOYMENTS,
    MAPS,
    MERGE,
    PATCH,
    SERVICES,
    STRATEGIC,
    Sequence,
    Step,
    get,
    named,
    patch,
    post,
    sequence,
    workload,
)


def on(path: str, made: Manifest, patches: Mapping[str, tuple[str, object]]) -> tuple[Step, ...]:
    """Each patch on a fresh object of its own."""
    steps: list[Step] = []
    for number, (media, change) in enumerate(patches.values()):
        name = f"o{number}"
        fresh = {**made, "metadata": {**made["metadata"], "name": name}}
        steps += [post(path, fresh), patch(f"{path}/{name}", change, media), get(f"{path}/{name}")]
    return tuple(steps)


MAP = named("m", data={"a": "1", "b": "2"}, metadata={"labels": {"a": "b"}})
PORTS = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
SERVICE = named("s", "Service", spec={"ports": PORTS})
CONTAINER = {
    "name": "main",
    "image": "shop:1",
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "name": "admin"}],
    "args": ["x", "y"],
}
TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {
        "containers": [CONTAINER, {"name": "side", "image": "side:1"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "k", "operator": "Exists"}],
    },
}
WORKLOAD = workload("d", selector={"matchLabels": {"app": "x"}}, template=TEMPLATE)
WORKLOAD["metadata"]["finalizers"] = ["test.dev/a", "test.dev/b"]


def operation(**fields: object) -> tuple[str, object]:
    return PATCH, [{name.rstrip("_"): value for name, value in fields.items()}]


CONFIG_MAPS = sequence(
    "patches of config maps",
    *on(
        MAPS,
        MAP,
        {
            "null removes, the rest is set": (MERGE, {"data": {"a": None, "c": "3"}}),
            "a whole map goes": (MERGE, {"data": None}),
            "the last label goes": (MERGE, {"metadata": {"labels": {"a": None}}}),
            "an unknown field": (MERGE, {"dat": {"a": "b"}}),
            "a name stays": (MERGE, {"metadata": {"name": "other"}}),
            "an old version": (MERGE, {"metadata": {"resourceVersion": "1"}}),
            "a number is no text": (MERGE, {"data": {"a": 1}}),
            "a list is no map": (MERGE, {"data": ["a"]}),
            "a kind stays": (MERGE, {"kind": "Secret"}),
            "a list is no merge patch": (MERGE, [1]),
            "broken JSON": (MERGE, "{"),
            "no JSON": (MERGE, ""),
            "null": (MERGE, "null"),
            "add": operation(op="add", path="/data/x", value="y"),
            "replace": operation(op="replace", path="/data/a", value="y"),
            "replace what is not there": operation(op="replace", path="/data/zz", value="y"),
            "remove what is not there": operation(op="remove", path="/data/zz"),
            "add below nothing": operation(op="add", path="/spec/x/y", value=1),
            "remove": operation(op="remove", path="/data/a"),
            "a test that holds": operation(op="test", path="/data/a", value="1"),
            "a test that fails": operation(op="test", path="/data/a", value="z"),
            "a test of nothing": operation(op="test", path="/data/zz", value="z"),
            "move": operation(op="move", from_="/data/a", path="/data/m"),
            "copy": operation(op="copy", from_="/data/a", path="/data/m"),
            "move from nowhere": operation(op="move", from_="/data/zz", path="/data/m"),
            "an unknown operation": operation(op="foo", path="/data/a"),
            "an operation without a path": operation(op="add", value="x"),
            "an operation without a value": operation(op="add", path="/data/q"),
            "a path without a slash": operation(op="add", path="data", value="x"),
            "the whole object": operation(op="replace", path="", value={"a": "b"}),
            "no operation": (PATCH, []),
            "an object is no JSON patch": (PATCH, {"op": "add"}),
            "broken JSON patch": (PATCH, "["),
            "strategic: null removes": (STRATEGIC, {"data": {"a": None, "c": "3"}}),
            "strategic: replace a map": (STRATEGIC, {"data": {"$patch": "replace", "z": "1"}}),
            "strategic: delete a map": (STRATEGIC, {"data": {"$patch": "delete"}}),
            "strategic: merge a map": (STRATEGIC, {"data": {"$patch": "merge", "z": "1"}}),
            "strategic: an unknown directive": (STRATEGIC, {"data": {"$patch": "foo"}}),
            "strategic: retain keys": (STRATEGIC, {"$retainKeys": ["data"], "data": {"q": "1"}}),
            "strategic: replace the object": (STRATEGIC, {"$patch": "replace", "data": {"q": "1"}}),
            "strategic: a list": (STRATEGIC, [1]),
            "strategic: broken JSON": (STRATEGIC, "{"),
            "strategic: a list for a map": (STRATEGIC, {"data": [1]}),
            "strategic: an unknown field": (STRATEGIC, {"dat": {"a": "b"}}),
        },
    ),
)


def in_pod(change: Manifest) -> tuple[str, object]:
    return STRATEGIC, {"spec": {"template": {"spec": change}}}


def in_main(**change: object) -> tuple[str, object]:
    return in_pod({"containers": [{"name": "main", **change}]})


OTHER = {"$setElementOrder/env": [{"name": "C"}, {"name": "B"}]}
WORKLOADS = sequence(
    "strategic patches of deployments",
    *on(
        DEPLOYMENTS,
        WORKLOAD,
        {
            "one container by its name": in_main(image="shop:2"),
            "a new container": in_pod({"containers": [{"name": "new", "image": "new:1"}]}),
            "a container goes": in_pod({"containers": [{"name": "side", "$patch": "delete"}]}),
            "all replaced": in_pod({"containers": [{"$patch": "replace"}, {"name": "only", "image": "o:1"}]}),
            "env": in_main(env=[{"name": "B", "$patch": "delete"}, {"name": "C", "value": "3"}]),
            "an atomic list": in_main(args=["z"]),
            "ports by number": in_main(ports=[{"containerPort": 80, "name": "web"}]),
            "a list goes": in_main(ports=None),
            "an order alone": in_main(**{"$setElementOrder/env": [{"name": "B"}, {"name": "A"}]}),
            "an order with changes": in_main(
                **OTHER, env=[{"name": "C", "value": "3"}, {"name": "A", "$patch": "delete"}]
            ),
            "containers turned round": in_pod(
                {
                    "$setElementOrder/containers": [{"name": "side"}, {"name": "main"}],
                    "containers": [{"name": "main", "image": "shop:3"}],
                }
            ),
            "from a set": (STRATEGIC, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["test.dev/a"]}}),
            "into a set": (STRATEGIC, {"metadata": {"finalizers": ["test.dev/c"]}}),
            "into a set, ordered": (
                STRATEGIC,
                {
                    "metadata": {
                        "$setElementOrder/finalizers": ["test.dev/c", "test.dev/b", "test.dev/a"],
                        "finalizers": ["test.dev/c"],
                    }
                },
            ),
            "a set goes": (STRATEGIC, {"metadata": {"finalizers": None}}),
            "retained": (STRATEGIC, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            "a strategy with too much": (STRATEGIC, {"spec": {"strategy": {"type": "Recreate"}}}),
            "another volume source": in_pod(
                {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}
            ),
            "two volume sources": in_pod({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
            "tolerations are atomic": in_pod({"tolerations": [{"key": "l", "operator": "Exists"}]}),
            "a selector stays": (STRATEGIC, {"spec": {"selector": {"matchLabels": {"x": "y"}}}}),
            "zero is a value": (STRATEGIC, {"spec": {"replicas": 0, "paused": True}}),
            "restart": (STRATEGIC, {"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}}),
            "status": (STRATEGIC, {"status": {"replicas": 7}}),
            "quantities": in_main(resources={"limits": {"cpu": "1500m", "memory": "1024Mi"}}),
            "a probe": in_main(livenessProbe={"httpGet": {"port": "http"}}),
            "without its key": in_pod({"containers": [{"image": "x"}]}),
            "a number in quotes": (STRATEGIC, {"spec": {"replicas": "3"}}),
            "an order that lacks": in_main(
                **{"$setElementOrder/env": [{"name": "A"}]}, env=[{"name": "Z", "value": "1"}]
            ),
            "a wrong order": in_main(**{"$setElementOrder/env": "A"}, env=[{"name": "Z", "value": "1"}]),
            "a null item": in_pod({"containers": [None]}),
            "a text for a list": in_pod({"containers": "x"}),
            "twice": in_pod({"containers": [{"name": "main", "image": "a"}, {"name": "main", "image": "b"}]}),
            "merge replaces lists": (
                MERGE,
                {"spec": {"template": {"spec": {"containers": [{"name": "x", "image": "y"}]}}}},
            ),
            "json in a list": operation(op="replace", path="/spec/template/spec/containers/0/image", value="q"),
            "json into a list": operation(
                op="add", path="/spec/template/spec/containers/1", value={"name": "q", "image": "q"}
            ),
            "json out of a list": operation(op="remove", path="/spec/template/spec/containers/7"),
            "json with an escape": operation(op="add", path="/metadata/annotations", value={"a/b": "c"}),
        },
    ),
)

SERVICE_PATCHES = sequence(
    "patches of services",
    *on(
        SERVICES,
        SERVICE,
        {
            "ports merge by port": (STRATEGIC, {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}),
            "a port more": (STRATEGIC, {"spec": {"ports": [{"port": 81, "name": "new"}]}}),
            "replaced": (MERGE, {"spec": {"ports": [{"port": 81}]}}),
            "a service needs a port": (MERGE, {"spec": {"ports": []}}),
            "affinity": (MERGE, {"spec": {"sessionAffinity": "ClientIP"}}),
            "selector": (MERGE, {"spec": {"selector": {"a": "b"}}}),
            "append": operation(op="add", path="/spec/ports/-", value={"port": 82, "name": "x"}),
            "beyond the end": operation(op="add", path="/spec/ports/9", value={"port": 82}),
            "the first goes": operation(op="remove", path="/spec/ports/0"),
            "out of range": operation(op="replace", path="/spec/ports/0/port", value=70000),
            "another type": (MERGE, {"spec": {"type": "NodePort"}}),
            "to a name": (MERGE, {"spec": {"type": "ExternalName", "externalName": "a.b"}}),
            "no address": (MERGE, {"spec": {"clusterIP": None}}),
            "headless": (MERGE, {"spec": {"clusterIP": "None"}}),
            "dual": (MERGE, {"spec": {"ipFamilyPolicy": "PreferDualStack"}}),
            "dual, by force": (MERGE, {"spec": {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}}),
            "turned round": (MERGE, {"spec": {"ipFamilies": ["IPv6"]}}),
            "local": (MERGE, {"spec": {"internalTrafficPolicy": "Local", "trafficDistribution": "PreferClose"}}),
        },
    ),
)

SEQUENCES: tuple[Sequence, ...] = (CONFIG_MAPS, WORKLOADS, SERVICE_PATCHES)
