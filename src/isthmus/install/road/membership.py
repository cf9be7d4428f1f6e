"""The first half of the road: whether the member's agent may, can, and does what makes the cluster a member."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from isthmus.agent.needs import missing
from isthmus.api.access import CLUSTER_ROLES, ROLES
from isthmus.api.core import LEASES, NAMESPACES
from isthmus.api.isthmus import MEMBERS_NAMESPACE, SILENT, SYSTEM_NAMESPACE, MemberStatus
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import IsthmusError, NotFound, Refused
from isthmus.install.homes import unready
from isthmus.install.push import name_of
from isthmus.install.rights import Right, said
from isthmus.install.road.walk import Finding, Road, Step
from isthmus.install.roles import AGENT_USER, member_roles
from isthmus.inventory.rules.standing import clock_problem
from isthmus.kit.clock import Clock
from isthmus.kit.moments import in_utc
from isthmus.kube.client import Client

_AGENT: Final = "isthmus-agent"
_REVIEWS: Final[Resource[Manifest]] = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", dict, namespaced=False
)
# Questions asked at a time, and how many of their answers a person reads.
_SIDE_BY_SIDE: Final = 8
_FEW: Final = 3
# Seconds: the longest look at a Lease that may be renewed, and between two looks.
_PATIENCE: Final = 30.0
_LOOK: Final = 0.2
# A right, and the one name that it is limited to.
_Named = tuple[Right, str]


async def rights(road: Road) -> Finding:
    """Every right of the agent's roles, asked as a question about the agent."""
    wanted = list(_rights())
    places = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def ask(one: _Named) -> bool:
        async with places:
            return await _has(road.member, one)

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(one), name="right") for one in wanted]
    lacking = [said(right) for (right, _), task in zip(wanted, asked, strict=True) if not task.result()]
    if not lacking:
        return Finding("rights", f"{AGENT_USER} has the {len(wanted)} rights that an agent needs")
    more = f", and {len(lacking) - _FEW} more" if len(lacking) > _FEW else ""
    return Finding(
        "rights",
        f"{AGENT_USER} lacks: {'; '.join(lacking[:_FEW])}{more}",
        f"put its roles back. {_again(road)}",
    )


async def definitions(road: Road) -> Finding:
    """The CRDs and the namespace that an agent waits for."""
    if problem := await missing(road.member, beside=True):
        return Finding("CRDs", problem, f"put them back. {_again(road)}")
    return Finding("CRDs", "the cluster serves ServiceExport, ServiceImport and ClusterProperty")


async def agent(road: Road) -> Finding:
    """Whether an agent is elected, and keeps its election."""
    if not await _unrenewed(road.member, SYSTEM_NAMESPACE, _AGENT, road.clock):
        return Finding("agent", "an agent works here")
    if road.is_pushed:
        why = await unready(road.hub, name_of(road.cluster), MEMBERS_NAMESPACE)
    else:
        why = await unready(road.member, _AGENT, SYSTEM_NAMESPACE)
    return Finding(
        "agent",
        f"no agent works here: Lease {SYSTEM_NAMESPACE}/{_AGENT} is not renewed{f'; {why}' if why else ''}",
        f"see what it says. {_logs(road)}",
    )


async def hub(road: Road) -> Finding:
    """Whether the hub answers with this cluster's record."""
    try:
        spec = (await road.record()).spec
        own = (await road.member.get(NAMESPACES, "kube-system")).metadata.uid
    except NotFound:
        said_ = f"{road.hub.server} has no member {road.cluster} in set {road.set}"
        return Finding("hub", said_, f"join again. {_again(road)}")
    except Refused as error:
        said_ = f"{road.hub.server} does not take what this cluster holds for it: {error}"
        return Finding("hub", said_, f"join again. {_again(road)}")
    except IsthmusError as error:
        # Without what its user is known by there.
        proxy = road.hub.proxy.rpartition("@")[2]
        through = f"-x {proxy} " if proxy else ""
        remedy = f"see whether it can be reached. Type: curl -k {through}{road.hub.server}/readyz"
        return Finding("hub", f"the hub cannot be reached: {error}", remedy)
    if spec is not None and spec.uid not in {"", own}:
        said_ = (
            f"member {road.cluster} is another cluster: kube-system UID {spec.uid}, and not {own}, which is this one's"
        )
        return Finding("hub", said_, f"join under a name of its own. {_again(road)}")
    return Finding("hub", f"{road.hub.server} answers, and knows {road.cluster} in set {road.set}")


async def lease(road: Road) -> Finding:
    """Whether the hub hears this member."""
    spec = (await road.record()).spec
    logs = f"see why. {_logs(road)}"
    if spec is not None and spec.health.state == SILENT:
        return Finding("lease", f"the hub hears nothing of {road.cluster}: {spec.health.reason}", logs)
    if problem := await _unrenewed(road.hub, MEMBERS_NAMESPACE, road.cluster, road.clock):
        return Finding("lease", f"{road.cluster} gives the hub no sign of life: {problem}", logs)
    return Finding("lease", "the hub hears its heartbeat")


async def clock(road: Road) -> Finding:
    """Whether the member's clock agrees with the hub's."""
    difference = ((await road.record()).status or MemberStatus()).clock_difference
    if problem := clock_problem(difference):
        return Finding("clock", problem, "set it, on its nodes. Type: timedatectl set-ntp true")
    if difference is None:
        return Finding("clock", "not measured yet", looked=False)
    return Finding("clock", f"within {abs(difference) + 2} seconds of the hub's")


STEPS: Final[tuple[Step, ...]] = (
    ("rights", rights),
    ("CRDs", definitions),
    ("agent", agent),
    ("hub", hub),
    ("lease", lease),
    ("clock", clock),
)


def _rights() -> Iterator[_Named]:
    for manifest in member_roles():
        if manifest["kind"] not in {CLUSTER_ROLES.kind, ROLES.kind} or manifest["metadata"]["name"] != _AGENT:
            continue
        namespace = manifest["metadata"].get("namespace", "")
        for rule in manifest["rules"]:
            name = (rule.get("resourceNames") or [""])[0]
            for verb, resource in itertools.product(rule["verbs"], rule["resources"]):
                yield (verb, rule["apiGroups"][0], resource, namespace), name


async def _has(client: Client, one: _Named) -> bool:
    (verb, group, resource, namespace), name = one
    plural, _, subresource = resource.partition("/")
    given = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
    given |= {"namespace": namespace, "name": name}
    review = {
        "apiVersion": _REVIEWS.api_version,
        "kind": _REVIEWS.kind,
        "spec": {"user": AGENT_USER, "resourceAttributes": {key: value for key, value in given.items() if value}},
    }
    answer = await client.create(_REVIEWS, review)
    return bool(answer.get("status", {}).get("allowed"))


async def _unrenewed(client: Client, namespace: str, name: str, clock_: Clock) -> str:
    """Why nobody seems to keep this Lease; empty if somebody does. A clock that is off costs a longer look."""
    try:
        first = await client.get(LEASES, name, namespace=namespace)
    except NotFound:
        return f"there is no Lease {namespace}/{name}"
    if not first.spec.holder_identity:
        return f"nobody holds Lease {namespace}/{name}"
    lasts = min(float(first.spec.lease_duration_seconds or _PATIENCE), _PATIENCE)
    if _age(first.spec.renew_time, clock_.now()) <= lasts:
        return ""
    for _ in range(int(lasts / _LOOK)):
        await clock_.sleep(_LOOK)
        seen = await client.get(LEASES, name, namespace=namespace)
        if seen.spec.renew_time != first.spec.renew_time:
            return ""
    return f"Lease {namespace}/{name} was last renewed at {first.spec.renew_time}, by the clock of who did"


def _age(renewed: str | None, now: datetime) -> float:
    known = in_utc(renewed)
    return abs((now - known).total_seconds()) if known is not None else float("inf")


def _logs(road: Road) -> str:
    if road.is_pushed:
        return f"Type: {road.words.hub} -n {MEMBERS_NAMESPACE} logs deployment/{name_of(road.cluster)}"
    return f"Type: {road.words.member} -n {SYSTEM_NAMESPACE} logs deployment/{_AGENT}"


def _again(road: Road) -> str:
    """Joining again repairs: it puts up what is missing, and keeps what the member is."""
    if road.words.again:
        return f"Type: {road.words.again}"
    join = f"isthmus join TOKEN {road.words.context}".rstrip()
    return f"Type: isthmus token create --cluster {road.cluster}, then with what it prints: {join}"
