"""Watches: which events, in which order, from which version on, and how a watch is refused."""

from tests.differential.steps import (
    CORE,
    DEPLOYMENTS,
    HOME,
    MAPS,
    PARTIAL,
    PODS,
    TABLE,
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
    workload,
)

OURS = "labelSelector=t"


def a_few_changes() -> tuple[Step, ...]:
    """Six changes, of which the first is kept as a place to start."""
    return (
        post(MAPS, labelled("a", t="x")).keeping(rv="metadata.resourceVersion"),
        post(MAPS, labelled("b", t="x")),
        patch(f"{MAPS}/a", {"data": {"k": "v"}}),
        patch(f"{MAPS}/a", {"data": {"k": "v"}}),
        patch(f"{MAPS}/b", {"metadata": {"labels": {"t": None}}}),
        patch(f"{MAPS}/b", {"data": {"k": "v"}}),
        patch(f"{MAPS}/b", {"metadata": {"labels": {"t": "y"}}}),
        delete(f"{MAPS}/a"),
        delete(f"{MAPS}/b"),
        post(MAPS, labelled("c", t="x")),
    )


ORDER = sequence(
    "events come in order, none missing",
    *a_few_changes(),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}", 7),
    watch(f"{MAPS}?resourceVersion=${{rv}}&fieldSelector=metadata.name=b", 5),
    watch(f"{MAPS}?resourceVersion=${{rv}}&labelSelector=t=y", 2),
    watch(f"{MAPS}?resourceVersion=${{rv}}&labelSelector=!t&fieldSelector=metadata.name!=kube-root-ca.crt", 3),
    watch(f"{MAPS}/a?resourceVersion=${{rv}}", 2),
    watch(f"{CORE}/configmaps?{OURS}&resourceVersion=${{rv}}&fieldSelector=metadata.namespace=${{ns}}", 7),
    watch(f"{MAPS}?{OURS}", 1),
    watch(f"{MAPS}?{OURS}&resourceVersion=0", 1),
    watch(f"{CORE}/watch/namespaces/${{ns}}/configmaps?{OURS}&resourceVersion=${{rv}}", 3),
)

SHAPES = sequence(
    "events in other shapes",
    *a_few_changes(),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}", 7, TABLE),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}", 7, PARTIAL),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}&includeObject=None", 2, TABLE),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}&includeObject=Object", 2, TABLE),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}", 1, "text/plain"),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}", 2, "application/json;stream=watch"),
)

STREAMS = sequence(
    "streaming lists and bookmarks",
    post(MAPS, labelled("a", t="x")).keeping(rv="metadata.resourceVersion"),
    post(MAPS, labelled("b", t="x")).keeping(later="metadata.resourceVersion"),
    *(
        watch(
            f"{MAPS}?{OURS}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            f"&allowWatchBookmarks=true&resourceVersion={version}",
            3,
        )
        for version in ("", "0", "${rv}", "${later}")
    ),
    watch(f"{MAPS}?{OURS}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", 3, TABLE),
    watch(
        f"{MAPS}?{OURS}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", 3, PARTIAL
    ),
    watch(f"{MAPS}?{OURS}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 2),
    watch(f"{MAPS}?{OURS}&sendInitialEvents=true&allowWatchBookmarks=true", 2),
    watch(f"{MAPS}?{OURS}&sendInitialEvents=true&resourceVersionMatch=Exact&allowWatchBookmarks=true", 2),
    watch(f"{MAPS}?{OURS}&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=${{rv}}", 1),
    watch(f"{MAPS}?{OURS}&sendInitialEvents=perhaps&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", 1),
    watch(f"{MAPS}?{OURS}&resourceVersionMatch=NotOlderThan&resourceVersion=${{rv}}", 1),
    watch(f"{MAPS}?{OURS}&resourceVersionMatch=Exact&resourceVersion=${{rv}}", 1),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}&limit=1", 1),
    watch(f"{MAPS}?{OURS}&resourceVersion=${{rv}}&continue=abc", 1),
    get(f"{MAPS}?{OURS}&resourceVersion=${{later}}&watch=1&timeoutSeconds=1&allowWatchBookmarks=true", events=9),
)

REFUSED = sequence(
    "watches that cannot begin",
    post(MAPS, labelled("a", t="x")).keeping(rv="metadata.resourceVersion"),
    patch(f"{MAPS}/a", {"data": {"a": "b"}}),
    watch(f"{MAPS}?resourceVersion=nonsense", 1),
    watch(f"{MAPS}?resourceVersion=-1", 1),
    watch(f"{MAPS}?labelSelector=a b", 1),
    watch(f"{MAPS}?fieldSelector=a=b", 1),
    watch(f"{MAPS}/a?fieldSelector=metadata.name=b", 1),
    get(f"{MAPS}?watch=1&timeoutSeconds=x"),
    get(f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=999999999&" + OURS, events=1),
    watch("/apis/authentication.k8s.io/v1/tokenreviews", 1),
    watch(f"{CORE}/nonsense", 1),
)

TYPES = sequence(
    "events of other kinds",
    post(PODS, pod("p", nodeName="n")).keeping(rv="metadata.resourceVersion"),
    patch(f"{PODS}/p/status", {"status": {"phase": "Running"}}),
    delete(f"{PODS}/p?gracePeriodSeconds=5"),
    delete(f"{PODS}/p?gracePeriodSeconds=0"),
    watch(f"{PODS}?resourceVersion=${{rv}}", 3),
    watch(f"{PODS}?resourceVersion=${{rv}}&fieldSelector=status.phase=Running", 3),
    watch(f"{PODS}?resourceVersion=${{rv}}", 3, TABLE),
    post(DEPLOYMENTS, workload("d", replicas=0)).keeping(rv="metadata.resourceVersion"),
    put(f"{DEPLOYMENTS}/d", workload("d", replicas=1)),
    put(f"{DEPLOYMENTS}/d", workload("d", replicas=1)),
    patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 2}}),
    patch(f"{DEPLOYMENTS}/d", {"metadata": {"finalizers": ["x.io/y"]}}),
    delete(f"{DEPLOYMENTS}/d?propagationPolicy=Background"),
    patch(f"{DEPLOYMENTS}/d", {"metadata": {"finalizers": None}}),
    watch(f"{DEPLOYMENTS}?resourceVersion=${{rv}}", 5),
    watch(f"{DEPLOYMENTS}?resourceVersion=${{rv}}", 5, TABLE),
    post(f"{HOME}/events", named("e", "Event", involvedObject={"namespace": "${ns}"})).keeping(
        rv="metadata.resourceVersion"
    ),
    patch(f"{HOME}/events/e", {"count": 2}),
    watch(f"{HOME}/events?resourceVersion=${{rv}}", 1),
    watch("/apis/events.k8s.io/v1/namespaces/${ns}/events?resourceVersion=${rv}", 1),
)

SEQUENCES: tuple[Sequence, ...] = (ORDER, SHAPES, STREAMS, REFUSED, TYPES)
