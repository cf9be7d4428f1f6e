"""Which EndpointSlices an importing cluster has: one source cluster each, under the import's port names.

KEP-1645, "Using EndpointSlice objects"; catalogue section 6; design, part 3, rules 1, 6, 7 and 8.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from isthmus.api.core import (
    ENDPOINT_SLICES,
    HEADLESS_LABEL,
    MANAGED_BY_LABEL,
    SERVICE_NAME_LABEL,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
)
from isthmus.api.isthmus import (
    MANAGED_BY,
    MAX_ADDRESSES,
    MAX_CHUNKS,
    MAX_ENDPOINTS,
    SILENT,
    ExportedEndpoint,
    ExportedEndpoints,
    ExportedEndpointsSpec,
    ExportedServiceSpec,
    ExportedSlice,
    Member,
)
from isthmus.api.mcs import HEADLESS, SOURCE_CLUSTER_LABEL, ImportedPort, ServiceImport
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.meta import ObjectMeta
from isthmus.api.names import is_dns_label, is_label_value
from isthmus.mcs.rules.constituent import Constituent
from isthmus.mcs.rules.foreign import few, shown
from isthmus.mcs.rules.hints import Near, hinted, nearness
from isthmus.mcs.rules.importing import Here, Plan, family_of, owner_reference
from isthmus.mcs.rules.merge import Merged
from isthmus.mcs.rules.names import slice_name
from isthmus.mcs.rules.ports import fitted

_Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Sources:
    """Where endpoints come from: the own Service's slices from the own informer, the others' by way of the hub.

    `own` are `exporting.source_slices`; `chunks` are by cluster; `members` by id.
    """

    own: tuple[EndpointSlice, ...] = ()
    chunks: Mapping[str, Sequence[ExportedEndpoints]] = field(default_factory=dict)
    members: Mapping[str, Member] = field(default_factory=dict)


@dataclass(frozen=True)
class Slices:
    """The wanted slices.

    Slices of `arriving` clusters are to be left as they are until the rest of their chunks is here; `silent`
    clusters have none (MCS-78); `notes` say which endpoints were dropped.
    """

    wanted: tuple[EndpointSlice, ...] = ()
    arriving: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def wanted_slices(merged: Merged, plan: Plan, sources: Sources, here: Here, *, owner: ServiceImport) -> Slices:
    """The slices of every exporter that is heard, in the import's families; one's own always (design, rule 1)."""
    wanted: list[EndpointSlice] = []
    arriving: set[str] = set()
    silent: set[str] = set()
    notes: list[str] = []
    for exporter in merged.exporters:
        member = sources.members.get(exporter.cluster)
        if exporter.cluster == here.cluster:
            drafts = [_own(each) for each in sources.own]
        elif member and member.spec and member.spec.health.state == SILENT:
            silent.add(exporter.cluster)
            continue
        else:
            exported = endpoints(exporter.spec, sources.chunks.get(exporter.cluster, ()))
            if exported is None:
                arriving.add(exporter.cluster)
                continue
            drafts, dropped = _foreign(exported, exporter.cluster, member)
            notes += dropped
        metadata = _Metadata(merged, plan, owner, exporter.cluster)
        near = nearness(merged, here, exporter.cluster, member)
        wanted += _fitted(drafts, exporter, plan, metadata, near)
    return Slices(tuple(wanted), frozenset(arriving), frozenset(silent), tuple(notes))


def endpoints(spec: ExportedServiceSpec, chunks: Iterable[ExportedEndpoints]) -> tuple[ExportedSlice, ...] | None:
    """The exporter's slices, wherever they are; none while some of its chunks are still to come.

    Chunks may be newer than the service that announces them: that is no worse than Kubernetes' own slices, which
    change one by one.
    """
    if spec.chunks is None:
        return spec.slices
    newest: dict[int, ExportedEndpointsSpec] = {}
    for chunk in (chunk.spec for chunk in chunks if chunk.spec):
        theirs = (chunk.cluster, chunk.namespace, chunk.name) == (spec.cluster, spec.namespace, spec.name)
        known = newest.get(chunk.index)
        if theirs and 0 <= chunk.index < spec.chunks.count and (not known or known.generation < chunk.generation):
            newest[chunk.index] = chunk
    count = min(spec.chunks.count, MAX_CHUNKS)
    if len(newest) < count or max((c.generation for c in newest.values()), default=0) < spec.chunks.generation:
        return None
    return tuple(newest[index].slice for index in sorted(newest))


@dataclass(frozen=True)
class _Draft:
    """A slice before it is fitted to the import."""

    family: str
    ports: tuple[EndpointPort, ...]
    endpoints: tuple[Endpoint, ...]


def _own(source: EndpointSlice) -> _Draft:
    # Node and target stay: kube-proxy needs the node for internalTrafficPolicy Local (MCS-73).
    kept = tuple(
        Endpoint(
            addresses=each.addresses,
            conditions=each.conditions,
            hostname=each.hostname,
            node_name=each.node_name,
            zone=each.zone,
            target_ref=each.target_ref,
        )
        for each in source.endpoints
    )
    return _Draft(source.address_type, source.ports, kept)


def _foreign(exported: Sequence[ExportedSlice], cluster: str, member: Member | None) -> tuple[list[_Draft], list[str]]:
    """The slices of another cluster, without what may not be reached or would be refused here."""
    allowed = _networks(member.spec.pod_ranges if member and member.spec else ())
    problems: dict[str, list[str]] = {}
    drafts: list[_Draft] = []
    for each in exported[:MAX_CHUNKS]:
        kept = [
            _endpoint(endpoint, addresses)
            for endpoint in each.endpoints[:MAX_ENDPOINTS]
            if (addresses := _reachable(endpoint, each.address_type, allowed, problems))
        ]
        drafts.append(_Draft(each.address_type, each.ports, tuple(kept)))
    return drafts, [
        f"{len(texts)} endpoint addresses of {cluster} dropped, {why}: {few(texts)}" for why, texts in problems.items()
    ]


def _reachable(
    endpoint: ExportedEndpoint,
    family: str,
    allowed: tuple[_Network, ...] | None,
    problems: dict[str, list[str]],
) -> tuple[str, ...]:
    """The endpoint's addresses that may be used; the others are added to `problems`."""
    kept: list[str] = []
    for text in endpoint.addresses[:MAX_ADDRESSES]:
        address, why = _address(text, family, allowed)
        if why:
            problems.setdefault(why, []).append(shown(text))
        else:
            kept.append(address)
    return tuple(kept)


def _endpoint(seen: ExportedEndpoint, addresses: tuple[str, ...]) -> Endpoint:
    return Endpoint(
        addresses=addresses,
        conditions=EndpointConditions(ready=seen.ready, serving=seen.serving, terminating=seen.terminating),
        hostname=seen.hostname if seen.hostname and is_dns_label(seen.hostname) else None,
        zone=seen.zone if seen.zone and is_label_value(seen.zone) else None,
    )


def _networks(ranges: Iterable[str]) -> tuple[_Network, ...] | None:
    """The approved ranges; none approved means no restriction (README Q-42)."""
    ranges = tuple(ranges)
    if not ranges:
        return None
    networks: list[_Network] = []
    for text in ranges:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:  # a range that cannot be read approves nothing
            continue
    return tuple(networks)


def _address(text: str, family: str, allowed: tuple[_Network, ...] | None) -> tuple[str, str]:
    """The address in canonical form, and why it must not be used (README Q-42)."""
    address, written, why = _parsed(text)
    if address is None:
        return "", why
    if family_of(text) != family:
        return "", f"not of the slice's family {family}"
    if allowed is not None and not any(address in network for network in allowed):
        return "", "outside its approved pod ranges"
    return written, ""


# An endpoint that changes brings its whole service's addresses along again: most were seen before.
@lru_cache(maxsize=65_536)
def _parsed(text: str) -> tuple[IPv4Address | IPv6Address | None, str, str]:
    """The address, its canonical form, and why nobody can use it."""
    try:
        address = ip_address(text)
    except ValueError:
        return None, "", "no IP addresses"
    if is_unreachable(address):
        return None, "", "loopback, link-local, unspecified or multicast"
    return address, str(address), ""


def is_unreachable(address: IPv4Address | IPv6Address) -> bool:
    """The address means something else, or nothing, in another cluster: also in its IPv4-mapped or scoped form."""
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address.scope_id):
        return True
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


@dataclass(frozen=True)
class _Metadata:
    """What all slices of one source cluster share."""

    merged: Merged
    plan: Plan
    owner: ServiceImport
    cluster: str

    def of(self, family: str, index: int) -> ObjectMeta:
        labels = {
            IMPORT_NAME_LABEL: self.merged.name,
            SOURCE_CLUSTER_LABEL: self.cluster,
            MANAGED_BY_LABEL: MANAGED_BY,
        }
        if self.merged.type == HEADLESS:
            labels[HEADLESS_LABEL] = ""
        elif self.plan.derived_name:
            labels[SERVICE_NAME_LABEL] = self.plan.derived_name
        return ObjectMeta(
            name=slice_name(self.merged.name, self.cluster, family, index),
            namespace=self.merged.namespace,
            labels=labels,
            owner_references=(owner_reference(self.owner),),
        )


def _fitted(
    drafts: Sequence[_Draft],
    exporter: Constituent,
    plan: Plan,
    metadata: _Metadata,
    near: Near | None,
) -> Iterable[EndpointSlice]:
    """The slices under the import's port names, families and hints; boundaries stay the source's (MCS-71)."""
    for index, draft in enumerate(drafts):
        ports = _ports(draft.ports, exporter.spec.ports, plan.ports)
        if draft.family not in plan.families or not draft.endpoints or ports is None:
            continue
        yield EndpointSlice(
            api_version=ENDPOINT_SLICES.api_version,
            kind=ENDPOINT_SLICES.kind,
            metadata=metadata.of(draft.family, index),
            address_type=draft.family,
            ports=ports,
            endpoints=tuple(hinted(each, near) for each in draft.endpoints),
        )


def _ports(
    seen: Sequence[EndpointPort], exported: Sequence[ImportedPort], wanted: Sequence[ImportedPort]
) -> tuple[EndpointPort, ...] | None:
    """The fitted ports, or none if the slice has lost them all although its Service has ports (MCS-59)."""
    ports = fitted(seen, exported, wanted)
    return ports if ports or not exported else None


def is_ours_slice(seen: EndpointSlice) -> bool:
    """We made the slice."""
    return seen.metadata.labels.get(MANAGED_BY_LABEL) == MANAGED_BY


def stray(slices: Iterable[EndpointSlice], name: str) -> tuple[EndpointSlice, ...]:
    """Slices in the name of an import, or of the Service derived for it, that we did not make (design, rule 6).

    They would lead its traffic, or its names, elsewhere. One that says that it is ours, but not for which import, is
    none of ours either.
    """
    return tuple(
        each for each in slices if not (is_ours_slice(each) and each.metadata.labels.get(IMPORT_NAME_LABEL) == name)
    )
