"""Reads: lists as of a version, in parts, by selectors; and every contradiction in a query."""

from tests.differential.steps import (
    CORE,
    HOME,
    MAPS,
    PODS,
    Sequence,
    compact,
    delete,
    get,
    labelled,
    named,
    patch,
    pod,
    post,
    sequence,
)

# The ConfigMap that every namespace has is written by different hands.
OURS = "labelSelector=t"


def some(count: int) -> tuple[object, ...]:
    return tuple(post(MAPS, labelled(f"m{number}", t="x", n=str(number))) for number in range(count))


VERSIONS = sequence(
    "lists as of a version",
    *some(2),  # type: ignore[arg-type]  # steps
    get(f"{MAPS}/m1").keeping(rv="metadata.resourceVersion"),
    post(MAPS, labelled("m2", t="x")).keeping(later="metadata.resourceVersion"),
    *(
        get(f"{MAPS}?{OURS}&resourceVersion={version}&resourceVersionMatch={match}{limit}")
        for version in ("", "0", "${rv}", "${later}", "nonsense", "-1")
        for match in ("", "Exact", "NotOlderThan", "Never")
        for limit in ("", "&limit=1")
    ),
    get(f"{MAPS}?{OURS}&resourceVersion=999999999"),
    get(f"{MAPS}?{OURS}&resourceVersion=999999999&resourceVersionMatch=Exact"),
    get(f"{MAPS}/m1?resourceVersion=0"),
    get(f"{MAPS}/m1?resourceVersion=${{rv}}"),
    get(f"{MAPS}/m1?resourceVersion=999999999"),
    get(f"{MAPS}/m1?resourceVersion=nonsense"),
    get(f"{MAPS}/m1?resourceVersionMatch=Exact"),
)

PARTS = sequence(
    "lists in parts",
    *some(5),  # type: ignore[arg-type]  # steps
    get(f"{MAPS}?{OURS}&limit=2").keeping(next="metadata.continue", at="metadata.resourceVersion"),
    post(MAPS, labelled("m9", t="x")),
    delete(f"{MAPS}/m3"),
    get(f"{MAPS}?{OURS}&limit=2&continue=${{next}}").keeping(next="metadata.continue"),
    get(f"{MAPS}?{OURS}&limit=2&continue=${{next}}"),
    get(f"{MAPS}?{OURS}&continue=${{next}}"),
    get(f"{MAPS}?limit=3"),
    get(f"{MAPS}?{OURS}&limit=1&resourceVersion=0"),
    get(f"{MAPS}?{OURS}&limit=1&resourceVersion=${{at}}&resourceVersionMatch=Exact"),
    get(f"{MAPS}?{OURS}&limit=1&resourceVersion=${{at}}&resourceVersionMatch=NotOlderThan"),
    get(f"{MAPS}?{OURS}&continue=${{next}}&resourceVersion=${{at}}"),
    get(f"{MAPS}?{OURS}&continue=${{next}}&resourceVersion=0"),
    get(f"{MAPS}?{OURS}&continue=${{next}}&resourceVersionMatch=Exact"),
    get(f"{MAPS}?continue=nonsense"),
    get(f"{MAPS}?continue=bm9uc2Vuc2U"),
    get(f"{MAPS}?limit=many"),
    get(f"{MAPS}?{OURS}&limit=-1"),
    get(f"{MAPS}?{OURS}&limit=100"),
    get(f"{MAPS}?{OURS}&limit="),
    get(f"{MAPS}?fieldSelector=metadata.name!=m1&limit=1&{OURS}"),
)

EXPIRED = sequence(
    "lists and watches of a past that is gone",
    *some(4),  # type: ignore[arg-type]  # steps
    get(f"{MAPS}?{OURS}&limit=1").keeping(next="metadata.continue", at="metadata.resourceVersion"),
    patch(f"{MAPS}/m2", {"data": {"a": "b"}}),
    compact(),
    get(f"{MAPS}?{OURS}&resourceVersion=${{at}}&resourceVersionMatch=Exact", until=410),
    get(f"{MAPS}?{OURS}&limit=1&continue=${{next}}", until=410).keeping(next="metadata.continue"),
    get(f"{MAPS}?{OURS}&limit=1&continue=${{next}}"),
    get(f"{MAPS}?{OURS}&continue=${{next}}"),
    get(f"{MAPS}?{OURS}&resourceVersion=${{at}}&limit=1"),
)

SELECTORS = sequence(
    "selectors",
    post(MAPS, labelled("a", t="x", app="web")),
    post(MAPS, labelled("b", t="x", app="db", tier="1")),
    post(MAPS, labelled("c", t="x", **{"example.com/x": "5"})),
    *(
        get(f"{MAPS}?labelSelector={text}")
        for text in (
            *("app=web", "app==web", "app!=web,t", "app in (web,db)", "app in (web, db)", "app notin (web),t"),
            *(
                "!app,t",
                "tier",
                "t,tier%3E0",
                "t,tier%3C1",
                "example.com/x=5",
                "t,app in ()",
                "app=",
                "t,app in (web,)",
            ),
            *("a b", "app in web", "app=(x)", "=x", ",", "app,,t", "-a=b", "app=a/b", "app in (a,b", "(a)", "!", "t,!"),
            *(f"{'x' * 64}=a", f"a={'x' * 64}", "tier%3Ea", "a=b=c", "app in (web) , t", "a!b", "A/b/c=d", "t=x,t=y"),
        )
    ),
    *(
        get(f"{MAPS}?labelSelector=t&fieldSelector={text}")
        for text in (
            *("metadata.name=a", "metadata.name==a", "metadata.name!=a", "metadata.name=a,metadata.namespace=${ns}"),
            *(
                "metadata.name=a,metadata.name=b",
                "data.x=y",
                "metadata.name",
                "metadata.name in (a)",
                "=",
                ",",
                "a=b=c",
            ),
            *("metadata.namespace=other", "metadata.name=a%5C,b", "metadata.labels.t=x", "metadata.uid=x"),
        )
    ),
    get(f"{CORE}/configmaps?{OURS}&fieldSelector=metadata.namespace=${{ns}}"),
    delete(f"{MAPS}?labelSelector=app in (web,db)"),
    get(f"{MAPS}?{OURS}"),
)

FIELDS = sequence(
    "what field selectors may ask for",
    post(PODS, pod("p", nodeName="n1", restartPolicy="Never")),
    patch(f"{PODS}/p/status", {"status": {"phase": "Running", "podIP": "1.2.3.4", "podIPs": [{"ip": "1.2.3.4"}]}}),
    *(
        get(f"{PODS}?fieldSelector={text}")
        for text in (
            *(
                "spec.nodeName=n1",
                "spec.nodeName=",
                "spec.nodeName!=n1",
                "status.phase=Running",
                "status.podIP=1.2.3.4",
            ),
            *("spec.restartPolicy=Never", "spec.schedulerName=default-scheduler", "spec.serviceAccountName=default"),
            *("spec.hostNetwork=false", "status.nominatedNodeName=", "spec.hostname=x", "status.podIPs=1.2.3.4"),
        )
    ),
    post(
        f"{HOME}/events",
        named(
            "e",
            "Event",
            reason="R",
            type="Normal",
            source={"component": "c"},
            involvedObject={"namespace": "${ns}", "kind": "Pod", "name": "p"},
        ),
    ),
    *(
        get(f"{HOME}/events?fieldSelector={text}")
        for text in (
            *("involvedObject.kind=Pod,involvedObject.name=p", "reason=R", "type=Warning", "source=c", "message=x"),
            *("involvedObject.uid=", "reportingComponent=", "involvedObject.namespace=${ns}"),
        )
    ),
    *(
        get(f"/apis/events.k8s.io/v1/namespaces/${{ns}}/events?fieldSelector={text}")
        for text in ("regarding.kind=Pod", "involvedObject.kind=Pod", "reason=R", "reportingController=", "note=x")
    ),
    get(f"{CORE}/namespaces?fieldSelector=status.phase=Active,metadata.name=${{ns}}"),
    get(f"{HOME}/secrets?fieldSelector=type=Opaque"),
    get(f"{HOME}/services?fieldSelector=spec.clusterIP=None,spec.type=ClusterIP"),
    get("/apis/apps/v1/namespaces/${ns}/replicasets?fieldSelector=status.replicas=0"),
    get("/apis/apps/v1/namespaces/${ns}/deployments?fieldSelector=status.replicas=0"),
)

LISTS = sequence(
    "what is in a list",
    post(MAPS, labelled("a", t="x")),
    get(f"{MAPS}?{OURS}"),
    get(f"{CORE}/configmaps?{OURS}&fieldSelector=metadata.namespace=${{ns}}"),
    get(PODS),
    get(f"{HOME}/services"),
    get("/apis/apps/v1/namespaces/${ns}/deployments"),
    get(f"{MAPS}?pretty=true&{OURS}"),
    get(f"{MAPS}?unknown=parameter&{OURS}"),
    get(f"{MAPS}?timeoutSeconds=x&{OURS}"),
    get(f"{MAPS}?allowWatchBookmarks=perhaps&{OURS}"),
    get(f"{MAPS}?watch=perhaps&{OURS}&fieldSelector=x"),
    get(f"{MAPS}?sendInitialEvents=true&{OURS}"),
    get(f"{MAPS}?sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0&{OURS}"),
    get(f"{MAPS}/?{OURS}"),
    get(f"/{MAPS}?{OURS}"),
)

SEQUENCES: tuple[Sequence, ...] = (VERSIONS, PARTS, EXPIRED, SELECTORS, FIELDS, LISTS)
