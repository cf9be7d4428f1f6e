"""Installs for a person: looks first whether all can be done, writes, and waits until it runs; safe to repeat."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from isthmus.agent.needs import another
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CRDS, NAMESPACES
from isthmus.api.isthmus import MEMBERS, SET_LABEL
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, NotFound, Unreachable
from isthmus.install.definitions import Act, Decision, decide, renewed
from isthmus.install.kinds import defines, versions_of, whole
from isthmus.install.manifests import MANAGER, apply
from isthmus.install.migrate import migrate
from isthmus.install.rights import Right, demand_rights
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, WriteOptions

Say: TypeAlias = Callable[[str], None]

# Seconds.
_SERVED_WITHIN: Final = 60.0
_RUNS_WITHIN: Final = 180.0
_LOOK: Final = 0.5
_TRIES: Final = 5


@dataclass(frozen=True)
class _Definition:
    name: str
    seen: Manifest | None
    wanted: Manifest
    decision: Decision


async def install(
    client: Client,
    manifests: Iterable[Manifest],
    *,
    say: Say,
    wait: bool = True,
    beside: bool = False,
    clock: Clock = SYSTEM,
) -> None:
    """Apply all of it, in order.

    Raises Invalid, with nothing written, where rights are missing, where a namespace or definition is somebody
    else's, and, unless to be installed `beside` it, where another implementation is at work; Unreachable where
    what was applied does not run in time.
    """
    manifests = list(manifests)
    definitions = await _demand_installable(client, manifests, (), beside=beside)
    await apply(client, [each for each in manifests if each["kind"] == NAMESPACES.kind])
    for definition in definitions:
        await _define(client, definition, say)
    for definition in definitions:
        await _wait_served(client, definition.wanted, clock)
    rest = [each for each in manifests if each["kind"] not in {NAMESPACES.kind, CRDS.kind}]
    await apply(client, rest)
    say(f"{len(manifests)} objects are in place")
    for definition in definitions:
        if definition.decision.act is not Act.KEEP:
            await migrate(client, definition.name, say=say)
    if wait:
        for each in rest:
            if each["kind"] == DEPLOYMENTS.kind:
                await wait_running(client, each, say=say, clock=clock)


async def demand_installable(
    client: Client, manifests: Iterable[Manifest], also: Iterable[Right] = (), *, beside: bool = False
) -> None:
    """Look whether all of it could be applied, and write nothing. Raises Invalid as `install` does.

    `also` are further rights that will be needed.
    """
    await _demand_installable(client, list(manifests), also, beside=beside)


async def _demand_installable(
    client: Client, manifests: list[Manifest], also: Iterable[Right], *, beside: bool
) -> list[_Definition]:
    await demand_rights(client, manifests, also)
    await _adopt_nothing(client, manifests)
    is_member = any(defines(each, SERVICE_IMPORTS) for each in manifests)
    if is_member and not beside and (found := await another(client)):
        raise Invalid(f"{client.server}: {found}. Nothing was written")
    definitions = [await _look_at(client, each) for each in manifests if each["kind"] == CRDS.kind]
    if refused := [each for each in definitions if each.decision.act is Act.REFUSE]:
        raise Invalid(
            "nothing was written: "
            + "; ".join(f"definition {each.name} cannot be used: {each.decision.why}" for each in refused)
            + ". Upgrade it where it comes from, or remove it with all its objects"
        )
    return definitions


async def _adopt_nothing(client: Client, manifests: Iterable[Manifest]) -> None:
    for manifest in manifests:
        metadata = manifest["metadata"]
        cluster_set = (metadata.get("labels") or {}).get(SET_LABEL)
        if manifest["kind"] == NAMESPACES.kind:
            seen = await _found(client, manifest)
            if seen and seen["metadata"].get("deletionTimestamp"):
                raise Invalid(f"namespace {metadata['name']} is being deleted, nothing was written: try again later")
            if seen and cluster_set and (seen["metadata"].get("labels") or {}).get(SET_LABEL) != cluster_set:
                raise Invalid(
                    f"namespace {metadata['name']} is there and not ours (label {SET_LABEL} is missing); "
                    "nothing was written: choose another name for the cluster set"
                )
        if manifest["kind"] == DEPLOYMENTS.kind and cluster_set:
            seen = await _found(client, manifest)
            other = (seen["metadata"].get("labels") or {}).get(SET_LABEL) if seen else None
            if other and other != cluster_set:
                raise Invalid(
                    f"this cluster is member of set {other} already, nothing was written: "
                    f"use another cluster for {cluster_set}, or uninstall that first (isthmus install uninstall member)"
                )
    await _name_nobody_twice(client, [each for each in manifests if each["kind"] == MEMBERS.kind])


async def _name_nobody_twice(client: Client, members: list[Manifest]) -> None:
    """Names are one space for all sets of a hub."""
    if not members:
        return
    try:
        seen = (await client.list(MEMBERS)).items
    except NotFound:
        # No set had its hub here yet.
        return
    sets = {each.metadata.name: each.metadata.namespace for each in seen}
    for metadata in (each["metadata"] for each in members):
        other = sets.get(metadata["name"], metadata["namespace"])
        if other != metadata["namespace"]:
            raise Invalid(
                f"cluster {metadata['name']} is in set {other} of this hub, nothing was written: "
                "a cluster is in one set; it moves by a token: isthmus join TOKEN --move"
            )


async def _found(client: Client, manifest: Manifest) -> Manifest | None:
    kind = whole(DEPLOYMENTS) if manifest["kind"] == DEPLOYMENTS.kind else whole(NAMESPACES)
    metadata = manifest["metadata"]
    try:
        return await client.get(kind, metadata["name"], namespace=metadata.get("namespace", ""))
    except NotFound:
        return None


async def _look_at(client: Client, wanted: Manifest) -> _Definition:
    name = str(wanted["metadata"]["name"])
    try:
        seen: Manifest | None = await client.get(CRDS, name)
    except NotFound:
        seen = None
    return _Definition(name, seen, wanted, decide(seen, wanted))


async def _define(client: Client, definition: _Definition, say: Say) -> None:
    """Renewed whole, not applied: what an older schema had and ours has not must go."""
    options = WriteOptions(manager=MANAGER)
    for _ in range(_TRIES):
        seen, decision = definition.seen, definition.decision
        try:
            if decision.act is Act.MAKE:
                await client.create(CRDS, definition.wanted, options=options)
            elif decision.act is Act.RENEW and seen is not None:
                await client.update(CRDS, renewed(seen, definition.wanted), options=options)
            elif decision.act is Act.KEEP:
                say(f"definition {definition.name} is left as it is: {decision.why}")
            else:
                raise Invalid(f"definition {definition.name} cannot be used: {decision.why}")
        except (Conflict, NotFound):
            definition = await _look_at(client, definition.wanted)
        else:
            return
    raise Invalid(f"definition {definition.name} is changed by somebody else all the time; find out by whom")


async def _wait_served(client: Client, wanted: Manifest, clock: Clock) -> None:
    end = clock.monotonic() + _SERVED_WITHIN
    name = wanted["metadata"]["name"]
    while True:
        seen = await client.get(CRDS, name)
        conditions = (seen.get("status") or {}).get("conditions") or []
        states = {each["type"]: each for each in conditions}
        if states.get("Established", {}).get("status") == "True" and await _is_answered(client, wanted):
            return
        if clock.monotonic() > end:
            why = states.get("NamesAccepted", {}).get("message", "")
            raise Unreachable(f"{client.server} does not serve {name} after {_SERVED_WITHIN:.0f} s: {why}")
        await clock.sleep(_LOOK / 5)


async def _is_answered(client: Client, definition: Manifest) -> bool:
    """Whether objects of the kind can be asked for: for a moment after a definition is established they cannot."""
    kinds = versions_of(definition)
    try:
        for kind in kinds:
            await client.raw("GET", kind.path(), query={"limit": "1"})
    except NotFound:
        return False
    return all([await client.serves(kind) for kind in kinds])


async def wait_running(client: Client, manifest: Manifest, *, say: Say, clock: Clock = SYSTEM) -> None:
    """Return once every pod of the Deployment is of its newest kind and ready; raises Unreachable."""
    metadata = manifest["metadata"]
    kind = whole(DEPLOYMENTS)
    end = clock.monotonic() + _RUNS_WITHIN
    said = ""
    while True:
        seen = await client.get(kind, metadata["name"], namespace=metadata["namespace"])
        wanted = seen["spec"].get("replicas", 1)
        status = seen.get("status") or {}
        ready = status.get("availableReplicas", 0)
        is_current = status.get("observedGeneration", 0) >= seen["metadata"].get("generation", 0)
        renewed_ = status.get("updatedReplicas", 0)
        is_done = is_current and ready == renewed_ == wanted == status.get("replicas", 0)
        now = f"{metadata['name']}: {min(ready, renewed_)} of {wanted} pods ready" if is_current else said
        if now != said:
            say(now)
            said = now
        if is_done:
            return
        if clock.monotonic() > end:
            pods = ",".join(f"{key}={value}" for key, value in manifest["spec"]["selector"]["matchLabels"].items())
            raise Unreachable(
                f"{metadata['name']} does not run after {_RUNS_WITHIN:.0f} s. "
                f"Type: kubectl -n {metadata['namespace']} describe pods -l {pods}"
            )
        await clock.sleep(_LOOK)
