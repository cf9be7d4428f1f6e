"""`isthmus clusters` and `isthmus describe cluster`: who is in the set, how they do, and why one does not."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click
import msgspec

from isthmus.api.core import LEASES, Lease
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    EXPORTED_SERVICES,
    HELD_UNTIL_ANNOTATION,
    HUB_LEASE_PREFIX,
    IMPORTS_ANNOTATION,
    MEMBERS,
    MEMBERS_NAMESPACE,
    SYSTEM_NAMESPACE,
    TOKEN_LABEL,
    ExportedService,
    Member,
    MemberSpec,
    MemberStatus,
)
from isthmus.api.scheme import Manifest
from isthmus.apiserver.cells import age_of, duration
from isthmus.cli.hubs import Hub, hub_options
from isthmus.cli.output import Column, fields, output_option, show_list, show_one, table_of
from isthmus.errors import Invalid, NotFound, Refused
from isthmus.install.works import WORKS_PROPERTY
from isthmus.inventory.rules.facts import UNFIT
from isthmus.inventory.rules.standing import hub_time, standing, unjudged
from isthmus.kit.moments import count_in, in_utc
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.informer import Informer

# Seconds for which changes are gathered before lines are printed.
_GATHER = 0.2

COLUMNS = (
    Column("NAME", lambda row: row["name"]),
    Column("HEALTH", lambda row: row["health"]),
    Column("VERSION", lambda row: row["version"]),
    Column("REGION", lambda row: row["region"]),
    Column("LAST SEEN", lambda row: _ago(row["lastSeen"])),
    Column("EXPORTS", lambda row: row["exports"]),
    Column("IMPORTS", lambda row: _unknown(row["imports"])),
    Column("AGENT", lambda row: row["agentVersion"], wide=True),
    Column("CLOCK", lambda row: _signed(row["clockDifference"]), wide=True),
    Column("JOINED", lambda row: _ago(row["joined"]), wide=True),
    Column("SINCE", lambda row: _ago(row["since"]), wide=True),
    Column("WHY", lambda row: row["why"], wide=True),
)


@click.command("clusters", epilog="Example:  isthmus clusters -o wide --watch")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print a line for each change.")
@hub_options
@output_option
def clusters_command(hub: Hub, output: str, *, watch: bool) -> None:
    """List the set's clusters: health, version, when last heard of, what they share."""

    async def work(client: Client, set_name: str) -> None:
        if watch:
            await _follow(client, set_name, output)
        rows = await rows_of(client, set_name)
        show_list(rows, COLUMNS, output, empty=f"set {set_name} has no cluster yet. Type: isthmus token create")

    hub.run(work)


@click.group("describe", epilog="Example:  isthmus describe cluster east")
def describe_command() -> None:
    """Tell all that is known of one thing."""


@describe_command.command("cluster", epilog="Example:  isthmus describe cluster east")
@click.argument("name")
@hub_options
@output_option
def describe_cluster(name: str, hub: Hub, output: str) -> None:
    """Tell all that is known of one cluster, and why it is not well."""

    async def work(client: Client, set_name: str) -> Manifest:
        try:
            member = await client.get(MEMBERS, name, namespace=set_name)
        except NotFound as error:
            raise Invalid(f"set {set_name} has no cluster {name!r}. Type: isthmus clusters") from error
        exports = await client.list(
            EXPORTED_SERVICES, namespace=set_name, options=ListOptions(labels=f"{CLUSTER_LABEL}={name}")
        )
        (row,) = rows([member], await _heard(client, set_name))
        return row | {"services": sorted(_service(item) for item in exports.items if item.spec is not None)}

    found = hub.run(work)
    if output in {"json", "yaml"}:
        show_one(found, output)
    else:
        fields(_described(found))


async def rows_of(client: Client, set_name: str) -> list[Manifest]:
    """The set's clusters as plain data, by name."""
    listed, heard = await asyncio.gather(client.list(MEMBERS, namespace=set_name), _heard(client, set_name))
    return rows(listed.items, heard)


@dataclass(frozen=True)
class Heard:
    """The heartbeats by member, what time it is at the hub, and until when it holds back verdicts, if it does."""

    leases: Mapping[str, Lease]
    now: datetime
    held_until: datetime | None = None


def rows(members: Iterable[Member], heard: Heard) -> list[Manifest]:
    """What there is to say of each member; times are the hub's, as far as they can be known."""
    return [_row(each, heard) for each in sorted(members, key=lambda one: one.metadata.name)]


def _row(member: Member, heard: Heard) -> Manifest:
    lease = heard.leases.get(member.metadata.name)
    spec = member.spec or MemberSpec(id=member.metadata.name, set=member.metadata.namespace)
    status = member.status or MemberStatus()
    found = standing(member)
    difference = status.clock_difference
    seen = hub_time(lease.spec.renew_time, difference) if lease is not None else None
    counted = lease.metadata.annotations.get(IMPORTS_ANNOTATION, "") if lease is not None else ""
    return {
        "name": member.metadata.name,
        "set": spec.set,
        "health": found.state,
        "since": _moment(found.since),
        "why": unjudged(found, lease, seen, heard.held_until, now=heard.now) or found.why,
        "version": status.kubernetes_version,
        "agentVersion": status.agent_version,
        "rulesVersion": status.rules_version,
        "region": status.region,
        "lastSeen": _moment(seen),
        "clockDifference": difference,
        "exports": sum(each.count for each in status.exports.namespaces.values()),
        "imports": count_in(counted),
        "joined": _moment(spec.joined_at),
        "token": member.metadata.labels.get(TOKEN_LABEL, ""),
        "server": spec.server,
        "answers": status.probe.answered if status.probe is not None else None,
        "answersSince": _moment(hub_time(status.probe.at, difference)) if status.probe is not None else "",
        "podRanges": list(spec.pod_ranges),
        "properties": dict(sorted(status.properties.items())),
        "leftOut": list(status.left_out),
        "facts": msgspec.to_builtins(status.facts),
    }


async def _heard(client: Client, set_name: str) -> Heard:
    """What the hub has heard; nothing for those who may not read it."""
    leases: dict[str, Lease] = {}
    held_until = None
    with suppress(Refused):
        listed = await client.list(LEASES, namespace=MEMBERS_NAMESPACE)
        leases = {item.metadata.name: item for item in listed.items}
    with suppress(Refused, NotFound):
        election = await client.get(LEASES, f"{HUB_LEASE_PREFIX}{set_name}", namespace=SYSTEM_NAMESPACE)
        held_until = in_utc(election.metadata.annotations.get(HELD_UNTIL_ANNOTATION))
    return Heard(leases, datetime.now(UTC) - timedelta(seconds=client.ahead or 0), held_until)


async def _follow(client: Client, set_name: str, output: str) -> None:
    """Print the list, then each cluster's line whenever something but its last heartbeat changes; forever."""
    members = Informer(client, MEMBERS, namespace=set_name)
    stirred = asyncio.Event()
    members.subscribe(lambda _: stirred.set())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(members.run(), name="members")
        await members.wait_synced()
        printed: dict[str, Manifest] = {}
        show = table_of(COLUMNS, output)
        while True:
            now = {row["name"]: row for row in rows(members.store.all(), await _heard(client, set_name))}
            gone = [row | {"health": "Left", "why": "it is no member any more"} for row in _gone(printed, now)]
            show([row for row in now.values() if _is_news(row, printed.get(row["name"]))] + gone)
            printed = now
            stirred.clear()
            await stirred.wait()
            await asyncio.sleep(_GATHER)


def _gone(printed: Mapping[str, Manifest], now: Mapping[str, Manifest]) -> list[Manifest]:
    return [row for name, row in printed.items() if name not in now]


def _is_news(row: Manifest, printed: Manifest | None) -> bool:
    return printed is None or any(row[key] != printed[key] for key in row if key not in {"lastSeen", "imports"})


def _service(item: ExportedService) -> str:
    return f"{item.spec.namespace}/{item.spec.name}" if item.spec is not None else ""


def _described(row: Manifest) -> list[tuple[str, object]]:
    answers = {True: "answers", False: "does not answer", None: "not tried yet"}[row["answers"]]
    since = f" since {row['answersSince']}" if row["answersSince"] else ""
    per_namespace = Counter(name.partition("/")[0] for name in row["services"])
    return [
        ("Name", row["name"]),
        ("Set", row["set"]),
        ("Health", row["health"] + (f" since {row['since']}" if row["since"] else "")),
        ("Why", row["why"] or "all is well"),
        ("Last seen", f"{row['lastSeen']} ({_ago(row['lastSeen'])} ago)" if row["lastSeen"] else "never"),
        ("Joined", row["joined"] + (f" by token {row['token']}" if row["token"] else "")),
        ("Kubernetes", row["version"]),
        ("Agent", row["agentVersion"]),
        ("Merges by", f"rules {row['rulesVersion']}" if row["rulesVersion"] else ""),
        ("Clock", _clock(row["clockDifference"])),
        ("API server", f"{row['server'] or 'no published address'}, {answers}{since}"),
        ("Region", row["region"]),
        ("Pod ranges", row["podRanges"] or "any: none were approved"),
        ("Provider", _made_of(row["facts"])),
        ("Properties", [f"{name}={value}" for name, value in row["properties"].items()]),
        *([("Left out", f"{', '.join(row['leftOut'])}: {UNFIT}")] if row["leftOut"] else []),
        ("Works", row["properties"].get(WORKS_PROPERTY) or "none: its admin gave them no rights"),
        ("Exports", row["services"] or "nothing"),
        ("", ", ".join(f"{count} in {name}" for name, count in sorted(per_namespace.items()))),
        ("Imports", _imported(row)),
    ]


def _made_of(facts: Manifest) -> str:
    """Provider, distribution, zones and sizes, as far as the cluster's nodes tell."""
    words = [facts.get("provider"), facts.get("distribution"), f"zones {', '.join(facts.get('zones') or ())}"]
    sizes = {"nodes": "nodes: {}", "cpu": "cores: {}", "memory": "memory: {} GiB"}
    found = [word for word in words if word and word != "zones "]
    found += [form.format(f"about {facts[name]}") for name, form in sizes.items() if facts.get(name)]
    return ", ".join(found) or "<unknown>"


def _imported(row: Manifest) -> str:
    """Their number is what the hub is told; their names stand in the cluster alone."""
    if not row["imports"]:
        return _unknown(row["imports"])
    return f"{row['imports']}. Which: kubectl --context {row['name']} get serviceimports -A"


def _clock(difference: int | None) -> str:
    if difference is None:
        return "<unknown>"
    if not difference:
        return "as the hub's"
    return f"{duration(abs(difference))} {'ahead of' if difference > 0 else 'behind'} the hub's"


def _signed(difference: int | None) -> str:
    return "<unknown>" if difference is None else f"{difference:+d}s" if difference else "0s"


def _unknown(count: int | None) -> str:
    return "<unknown>" if count is None else str(count)


def _ago(moment: str) -> str:
    return age_of(moment, datetime.now(UTC)) if moment else "<unknown>"


def _moment(moment: datetime | None) -> str:
    known = in_utc(moment)
    return known.strftime("%Y-%m-%dT%H:%M:%SZ") if known is not None else ""
