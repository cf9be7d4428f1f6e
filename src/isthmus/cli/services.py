"""`isthmus export`, `unexport`, `services`, `resolve`: what the set shares, and how it answers."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import click

from isthmus.api.core import ENDPOINT_SLICES, SERVICES, EndpointSlice
from isthmus.api.mcs import (
    SERVICE_EXPORTS,
    SERVICE_IMPORTS,
    SERVICE_NAME_LABEL,
    ServiceExport,
    ServiceImport,
    ServiceImportSpec,
    ServiceImportStatus,
)
from isthmus.api.meta import Condition
from isthmus.api.scheme import Manifest
from isthmus.cli.output import Column, output_option, set_option, show_list
from isthmus.cli.target import members_of, with_clients
from isthmus.errors import Invalid, NotFound
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.message import Rcode
from isthmus.kit.dns.records import Address, Data, Pointer, Service, Text, Type
from isthmus.kit.text import printable
from isthmus.kube.client import Client, ListOptions
from isthmus.local.addresses import ClusterAddresses
from isthmus.local.launch import enter_network
from isthmus.local.state import SetFiles

namespace_option = click.option(
    "-n", "--namespace", default="default", show_default=True, help="The service's namespace."
)
cluster_option = click.option("--cluster", required=True, metavar="NAME", help="The cluster of the set.")


@click.command("export", epilog="Example:  isthmus export shop -n prod --cluster east")
@click.argument("service")
@namespace_option
@cluster_option
@set_option
def export_command(service: str, namespace: str, cluster: str, set_name: str) -> None:
    """Export a Service of one cluster to the whole set."""

    async def work(clients: Mapping[str, Client]) -> None:
        client = clients[cluster]
        try:
            await client.get(SERVICES, service, namespace=namespace)
        except NotFound as error:
            raise Invalid(
                f"{cluster} has no Service {namespace}/{service}. Type: isthmus kubectl {cluster} get services -A"
            ) from error
        await client.apply(
            SERVICE_EXPORTS,
            {
                "apiVersion": SERVICE_EXPORTS.api_version,
                "kind": SERVICE_EXPORTS.kind,
                "metadata": {"name": service, "namespace": namespace},
            },
            namespace=namespace,
        )

    with_clients(set_name, [cluster], work)
    click.echo(f"{namespace}/{service} of {cluster} is exported: http://{service}.{namespace}.svc.clusterset.local")


@click.command("unexport", epilog="Example:  isthmus unexport shop -n prod --cluster east")
@click.argument("service")
@namespace_option
@cluster_option
@set_option
def unexport_command(service: str, namespace: str, cluster: str, set_name: str) -> None:
    """Stop exporting a Service of one cluster."""

    async def work(clients: Mapping[str, Client]) -> None:
        try:
            await clients[cluster].delete(SERVICE_EXPORTS, service, namespace=namespace)
        except NotFound as error:
            raise Invalid(f"{cluster} does not export {namespace}/{service}. Type: isthmus services") from error

    with_clients(set_name, [cluster], work)
    click.echo(f"{namespace}/{service} of {cluster} is no longer exported.")


COLUMNS = (
    Column("NAMESPACE", lambda row: row["namespace"]),
    Column("NAME", lambda row: row["name"]),
    Column("TYPE", lambda row: row["type"]),
    Column("IPS", lambda row: row["ips"]),
    Column("PORTS", lambda row: row["ports"], wide=True),
    Column("EXPORTERS", lambda row: row["exporters"]),
    Column("ENDPOINTS", lambda row: row["endpoints"]),
    Column("READY", lambda row: row["ready"]),
    Column("CONFLICTS", lambda row: row["conflicts"]),
    Column("MESSAGE", lambda row: row["message"], wide=True),
)


@click.command("services", epilog="Example:  isthmus services --from west -o wide")
@click.option(
    "--from",
    "cluster",
    default="",
    metavar="CLUSTER",
    help="As that cluster sees them; the first by default.",
)
@set_option
@output_option
def services_command(cluster: str, set_name: str, output: str) -> None:
    """List the set's services: type, IPs, exporters, ready endpoints, conflicts."""
    members = members_of(set_name)
    if not members:
        raise Invalid(f"no cluster of set {set_name} runs. Type: isthmus status --set {set_name}")
    seen_from = cluster or members[0]

    async def work(clients: Mapping[str, Client]) -> list[Manifest]:
        exports = await asyncio.gather(*(_exports(client) for client in clients.values()))
        conflicts = _conflicts(dict(zip(clients, exports, strict=True)))
        client = clients[seen_from]
        imports = await client.list(SERVICE_IMPORTS)
        slices = await client.list(ENDPOINT_SLICES, options=ListOptions(labels=SERVICE_NAME_LABEL))
        ready = ready_endpoints(slices.items)
        return [
            _row(one, ready.get((one.metadata.namespace, one.metadata.name), 0), conflicts)
            for one in sorted(imports.items, key=lambda one: (one.metadata.namespace, one.metadata.name))
        ]

    rows = with_clients(set_name, list(dict.fromkeys([seen_from, *members])), work)
    show_list(
        rows,
        COLUMNS,
        output,
        empty=f"{seen_from} imports nothing yet. Type: isthmus export NAME -n NAMESPACE --cluster {seen_from}",
    )


async def _exports(client: Client) -> tuple[ServiceExport, ...]:
    return (await client.list(SERVICE_EXPORTS)).items


def ready_endpoints(slices: Sequence[EndpointSlice]) -> dict[tuple[str, str], int]:
    """How many ready endpoints each import has; a dual-stack backend, in a slice of each family, counts once."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for each in slices:
        key = (each.metadata.namespace, each.metadata.labels[SERVICE_NAME_LABEL])
        ready = sum(endpoint.conditions.ready is not False for endpoint in each.endpoints)
        counts.setdefault(key, Counter())[each.address_type] += ready
    return {key: max(families.values()) for key, families in counts.items()}


def _conflicts(exports: Mapping[str, Sequence[ServiceExport]]) -> dict[tuple[str, str], Condition]:
    found: dict[tuple[str, str], Condition] = {}
    for each in (export for of_cluster in exports.values() for export in of_cluster):
        for condition in each.status.conditions if each.status else ():
            if condition.type == "Conflict" and condition.status == "True":
                found[each.metadata.namespace, each.metadata.name] = condition
    return found


def _row(one: ServiceImport, endpoints: int, conflicts: Mapping[tuple[str, str], Condition]) -> Manifest:
    spec = one.spec or ServiceImportSpec(type="", ports=())
    status = one.status or ServiceImportStatus()
    ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    conflict = conflicts.get((one.metadata.namespace, one.metadata.name))
    messages = [condition.message for condition in (ready, conflict) if condition and condition.message]
    return {
        "namespace": one.metadata.namespace,
        "name": one.metadata.name,
        "type": spec.type,
        "ips": list(spec.ips),
        "ports": [f"{port.name or '-'}:{port.port}/{port.protocol or 'TCP'}" for port in spec.ports],
        "exporters": [source.cluster for source in status.clusters],
        "endpoints": endpoints,
        "ready": ready.status if ready else "Unknown",
        "conflicts": conflict.reason if conflict else "",
        "message": " ".join(messages),
    }


TYPES = [kind.name for kind in (Type.A, Type.AAAA, Type.SRV, Type.TXT)]


@click.command("resolve", epilog="Example:  isthmus resolve shop.prod.svc.clusterset.local --from west")
@click.argument("name")
@click.option("--from", "cluster", default="", metavar="CLUSTER", help="Ask that cluster's DNS, as its pods do.")
@click.option("--server", default="", metavar="ADDRESS", help="Ask this DNS server instead.")
@click.option("--type", "kind", type=click.Choice(TYPES), default="A", show_default=True)
@set_option
def resolve_command(name: str, cluster: str, server: str, kind: str, set_name: str) -> None:
    """Ask the set's DNS for a name. Exit code 1 if it does not exist, 3 if no server answers."""
    if not server:
        record = SetFiles(set_name).read()
        cluster = cluster or next(iter(members_of(set_name)), "")
        if cluster not in record.clusters:
            there = ", ".join(record.clusters) or "none. Type: isthmus up"
            raise Invalid(f"there is no cluster {cluster!r} in set {set_name!r}; there are: {there}")
        address = ClusterAddresses(record.clusters[cluster].number).cluster_dns[0]
        # The address lives in the cluster's own network: this very command goes there and asks.
        asked = [
            sys.executable,
            "-m",
            "isthmus.cli.main",
            "resolve",
            name,
            "--server",
            address,
            "--type",
            kind,
        ]
        sys.exit(subprocess.run([*enter_network(SetFiles(set_name), cluster), *asked], check=False).returncode)
    reply = asyncio.run(resolve(name.rstrip(".").lower(), Type[kind], (server, 53)))
    if reply.rcode != Rcode.NOERROR:
        raise Invalid(f"{name}: {Rcode(reply.rcode).name}. What is exported: isthmus services")
    for record_ in reply.answers:
        click.echo(f"{record_.name}\t{record_.ttl}\t{shown(record_.data)}")
    if not reply.answers:
        click.echo(f"{name} exists, and has no {kind} record", err=True)


def shown(data: Data) -> str:
    """A record's data as zone files write it."""
    match data:
        case Address(address=address):
            return f"{'A' if address.version == 4 else 'AAAA'}\t{address}"
        case Service(port=port, target=target, priority=priority, weight=weight):
            return f"SRV\t{priority} {weight} {port} {target}."
        case Text(value=value):
            return f'TXT\t"{printable(value)}"'
        case Pointer(type=kind, target=target):
            return f"{Type(kind).name}\t{target}."
        case _:
            return ""
