"""Deletes: with finalizers and grace, by each policy, of collections, of namespaces with all they hold."""

from isthmus.api.scheme import Manifest
from tests.differential.steps import (
    CORE,
    DEPLOYMENTS,
    HOME,
    MAPS,
    PODS,
    Sequence,
    Step,
    delete,
    get,
    labelled,
    named,
    patch,
    pod,
    post,
    put,
    sequence,
    watch,
)


def owned(name: str, owner: str = "owner", **more: object) -> Manifest:
    """A ConfigMap that belongs to another, whose uid was kept."""
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": "${uid}", **more}
    return named(name, metadata={"ownerReferences": [reference]})


def finalized(name: str) -> Manifest:
    return named(name, metadata={"finalizers": ["x.io/y"]})


def with_owner(*steps: Step) -> tuple[Step, ...]:
    return (post(MAPS, named("owner")).keeping(uid="metadata.uid"), *steps)


OPTIONS = sequence(
    "options of a delete",
    post(MAPS, named("a")),
    delete(f"{MAPS}/a?propagationPolicy=Later"),
    delete(f"{MAPS}/a", {"propagationPolicy": "Later"}),
    delete(f"{MAPS}/a", {"kind": "DeleteOptions", "apiVersion": "v9"}),
    delete(f"{MAPS}/a", {"kind": "ConfigMap", "apiVersion": "v1"}),
    delete(f"{MAPS}/a", {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]}),
    delete(f"{MAPS}/a", {"gracePeriodSeconds": "x"}),
    delete(f"{MAPS}/a", {"orphanDependents": True, "propagationPolicy": "Background"}),
    delete(f"{MAPS}/a?gracePeriodSeconds=x"),
    delete(f"{MAPS}/a", {"unknown": "x", "dryRun": ["All"]}),
    delete(f"{MAPS}/a", "{"),
    delete(f"{MAPS}/a", "[]"),
    Step("DELETE", f"{MAPS}/a", "kind: DeleteOptions\napiVersion: v1\ndryRun: [All]\n", "application/yaml"),
    Step("DELETE", f"{MAPS}/a", "x", "text/plain"),
    Step("DELETE", f"{MAPS}/a?dryRun=All", "", ""),
    delete(f"{MAPS}/a", {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}),
    delete(f"{MAPS}/a"),
)

FINALIZERS = sequence(
    "finalizers hold objects",
    post(MAPS, finalized("a")),
    delete(f"{MAPS}/a?dryRun=All"),
    delete(f"{MAPS}/a"),
    delete(f"{MAPS}/a"),
    post(MAPS, named("a")),
    patch(f"{MAPS}/a", {"data": {"k": "v"}}),
    patch(f"{MAPS}/a", {"metadata": {"finalizers": ["x.io/y", "x.io/z"]}}),
    patch(f"{MAPS}/a", {"metadata": {"deletionTimestamp": None}}),
    patch(f"{MAPS}/a?dryRun=All", {"metadata": {"finalizers": None}}),
    patch(f"{MAPS}/a", {"metadata": {"finalizers": []}}),
    get(f"{MAPS}/a"),
    post(MAPS, named("b", metadata={"finalizers": ["nonsense", "a b"]})),
    post(MAPS, finalized("c")),
    delete(f"{MAPS}/c"),
    put(f"{MAPS}/c", named("c")),
    get(f"{MAPS}/c"),
)

GRACE = sequence(
    "pods end with grace",
    post(PODS, pod("p", nodeName="n", terminationGracePeriodSeconds=7)),
    delete(f"{PODS}/p?dryRun=All"),
    delete(f"{PODS}/p"),
    delete(f"{PODS}/p?gracePeriodSeconds=9"),
    delete(f"{PODS}/p", {"gracePeriodSeconds": 3}),
    delete(f"{PODS}/p?gracePeriodSeconds=-1"),
    delete(f"{PODS}/p?gracePeriodSeconds=0"),
    get(f"{PODS}/p"),
    post(PODS, pod("q", nodeName="n")),
    patch(f"{PODS}/q/status", {"status": {"phase": "Succeeded"}}),
    delete(f"{PODS}/q"),
    post(PODS, pod("r")),
    delete(f"{PODS}/r"),
    post(PODS, pod("s", nodeName="n")),
    post(f"{PODS}/s/eviction", named("s", "Eviction", "policy/v1")),
    post(f"{PODS}/s/eviction", named("t", "Eviction", "policy/v1")),
    post(f"{PODS}/none/eviction", named("none", "Eviction", "policy/v1")),
    post(f"{PODS}/s/eviction", named("s", "Eviction", "policy/v1", deleteOptions={"gracePeriodSeconds": 0})),
    get(f"{PODS}/s"),
)

BACKGROUND = sequence(
    "in the background",
    *with_owner(
        post(MAPS, owned("child")),
        post(MAPS, owned("blocking", blockOwnerDeletion=True)),
        delete(f"{MAPS}/owner?propagationPolicy=Background"),
        get(f"{MAPS}/child", until=404),
        get(f"{MAPS}/blocking", until=404),
        post(MAPS, owned("late")),
        get(f"{MAPS}/late", until=404),
    ),
)

FOREGROUND = sequence(
    "in the foreground",
    *with_owner(
        post(MAPS, {**owned("child", blockOwnerDeletion=True)}).keeping(rv="metadata.resourceVersion"),
        patch(f"{MAPS}/child", {"metadata": {"finalizers": ["x.io/y"]}}),
        delete(f"{MAPS}/owner?propagationPolicy=Foreground"),
        get(f"{MAPS}/owner"),
        get(f"{MAPS}/child", until=("metadata.deletionGracePeriodSeconds", 0)),
        get(f"{MAPS}/owner"),
        patch(f"{MAPS}/child", {"metadata": {"finalizers": None}}),
        get(f"{MAPS}/child", until=404),
        get(f"{MAPS}/owner", until=404),
        watch(f"{MAPS}?resourceVersion=${{rv}}", 5),
    ),
)

ORPHAN = sequence(
    "orphaned",
    *with_owner(
        post(MAPS, owned("child")),
        delete(f"{MAPS}/owner", {"propagationPolicy": "Orphan"}),
        get(f"{MAPS}/owner", until=404),
        get(f"{MAPS}/child", until=("metadata.ownerReferences", None)),
        post(MAPS, named("other")).keeping(uid="metadata.uid"),
        post(MAPS, owned("second", "other")),
        delete(f"{MAPS}/other?orphanDependents=true"),
        get(f"{MAPS}/other", until=404),
        get(f"{MAPS}/second", until=("metadata.ownerReferences", None)),
        post(MAPS, finalized("held")).keeping(uid="metadata.uid"),
        delete(f"{MAPS}/held", {"propagationPolicy": "Orphan"}),
        delete(f"{MAPS}/held", {"propagationPolicy": "Foreground"}),
        delete(f"{MAPS}/held", {"propagationPolicy": "Background"}),
    ),
)

TWO_OWNERS = sequence(
    "of two owners one is left",
    post(MAPS, named("first")).keeping(first="metadata.uid"),
    post(MAPS, named("second")).keeping(second="metadata.uid"),
    post(
        MAPS,
        named(
            "child",
            metadata={
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "first", "uid": "${first}"},
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "second", "uid": "${second}"},
                ]
            },
        ),
    ),
    delete(f"{MAPS}/first?propagationPolicy=Background"),
    get(f"{MAPS}/child", until=("metadata.ownerReferences.1", None)),
    delete(f"{MAPS}/second?propagationPolicy=Background"),
    get(f"{MAPS}/child", until=404),
)

COLLECTIONS = sequence(
    "collections are deleted",
    *(post(MAPS, labelled(f"m{number}", t="x", n=str(number % 2))) for number in range(4)),
    post(MAPS, finalized("held")),
    delete(f"{MAPS}?labelSelector=n=1&dryRun=All"),
    delete(f"{MAPS}?labelSelector=n=1"),
    delete(f"{MAPS}?labelSelector=a b"),
    delete(f"{MAPS}?labelSelector=t&limit=1"),
    get(f"{MAPS}?labelSelector=t"),
    delete(f"{MAPS}?fieldSelector=metadata.name=held", {"propagationPolicy": "Background"}),
    delete(f"{MAPS}?fieldSelector=metadata.name=held", {"preconditions": {"uid": "x"}}),
    delete(f"{MAPS}?fieldSelector=metadata.name=none"),
    get(f"{MAPS}/held"),
    delete(f"{HOME}/services"),
    post(DEPLOYMENTS, named("x", "Deployment", "apps/v1")),
    delete(f"{CORE}/namespaces?labelSelector=t"),
    delete(f"{HOME}/serviceaccounts?fieldSelector=metadata.name=none"),
)

OTHER = f"{CORE}/namespaces/${{ns}}-gone"
NAMESPACES = sequence(
    "namespaces go with what they hold",
    post(f"{CORE}/namespaces", named("${ns}-gone", "Namespace")),
    get(f"{OTHER}/configmaps/kube-root-ca.crt", until=200, unseen=True),
    get(f"{OTHER}/serviceaccounts/default", until=200, unseen=True),
    post(f"{OTHER}/configmaps", named("free")),
    post(f"{OTHER}/configmaps", finalized("held")),
    delete(OTHER),
    delete(OTHER),
    get(OTHER, unseen=True),
    post(f"{OTHER}/configmaps", named("late")),
    put(f"{OTHER}/configmaps/held", finalized("held") | {"data": {"a": "b"}}, unseen=True),
    get(f"{OTHER}/configmaps/free", until=404),
    patch(f"{OTHER}/configmaps/held", {"metadata": {"finalizers": None}}, unseen=True),
    get(OTHER, until=404),
    post(f"{OTHER}/configmaps", named("late")),
    delete(f"{CORE}/namespaces/default"),
    delete(f"{CORE}/namespaces/kube-system"),
    post(f"{CORE}/namespaces", named("UPPER", "Namespace")),
    post(f"{CORE}/namespaces", named("a.b", "Namespace")),
    post(f"{CORE}/namespaces", named("${ns}-fin", "Namespace", metadata={"finalizers": ["x.io/y"]})),
    delete(f"{CORE}/namespaces/${{ns}}-fin"),
    get(f"{CORE}/namespaces/${{ns}}-fin", until=("spec", {})),
    patch(f"{CORE}/namespaces/${{ns}}-fin", {"metadata": {"finalizers": None}}),
    get(f"{CORE}/namespaces/${{ns}}-fin", until=404),
)

SEQUENCES: tuple[Sequence, ...] = (
    OPTIONS, FINALIZERS, GRACE, BACKGROUND, FOREGROUND, ORPHAN, TWO_OWNERS, COLLECTIONS, NAMESPACES,
)  # fmt: skip
