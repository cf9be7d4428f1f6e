"""What gives an embedded cluster life beside its pods, as residents of its node's process."""

from ipaddress import ip_address

from isthmus.errors import Invalid
from isthmus.local.clusterdns import ClusterDNSOptions, run_cluster_dns
from isthmus.local.controllers.app import run_controllers
from isthmus.local.node.context import Context
from isthmus.local.proxy import ProxyOptions, run_proxy

_DNS_PORT = 53


async def workloads(context: Context) -> None:
    """Deployments, ReplicaSets, StatefulSets, EndpointSlices."""
    await run_controllers(context)


async def service_addresses(context: Context) -> None:
    """Envoy on the addresses of Services."""
    config = context.config
    await run_proxy(context, ProxyOptions(config.state / "envoy", config.node_name, config.zone))


async def cluster_names(context: Context) -> None:
    """The cluster's name server, on the cluster's DNS address in both families."""
    addresses = context.config.addresses
    await run_cluster_dns(
        context,
        ClusterDNSOptions(
            listen=tuple((host, _DNS_PORT) for host in addresses.cluster_dns),
            clusterset=tuple((host, _DNS_PORT) for host in addresses.isthmus_dns),
            upstream=upstream(context.config.dns_upstream),
        ),
    )


def upstream(text: str) -> tuple[tuple[str, int], ...]:
    """Name servers of the outside, from `ADDRESS[,ADDRESS...]`; raises Invalid for what is no address."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append((str(ip_address(part)), _DNS_PORT))
        except ValueError as error:
            raise Invalid(f"--dns-upstream: {part!r} is no IP address; write one, such as 192.0.2.53") from error
    return tuple(found)
