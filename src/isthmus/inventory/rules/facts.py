"""What a member tells of itself for the inventory: its properties as far as they fit, and what its nodes add up to.

KEP-4322, Properties and Scalability: summarised and rather static data only, no resource usage (INV-17 to INV-21).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from isthmus.api.core import ZONE_LABEL, Node
from isthmus.api.inventory import MAX_VALUE
from isthmus.api.isthmus import MAX_PROPERTIES, ClusterFacts, MemberStatus
from isthmus.api.names import is_dns_label

_MAX_ZONES: Final = 100
# What the scheme of a node's providerID means; any other stands for itself.
_PROVIDERS: Final = {"gce": "gcp"}
# How distributions write their versions; of those that do not, a label on their nodes tells.
_BY_VERSION: Final = (
    (re.compile(r"-gke\."), "gke"),
    (re.compile(r"-eks-"), "eks"),
    (re.compile(r"\+k3s"), "k3s"),
    (re.compile(r"\+rke2"), "rke2"),
    (re.compile(r"\+k0s"), "k0s"),
    (re.compile(r"-aliyun"), "ack"),
    (re.compile(r"\+vmware"), "tkg"),
    (re.compile(r"\+isthmus"), "isthmus"),
)
_BY_LABEL: Final = {
    "kubernetes.azure.com/cluster": "aks",
    "node.openshift.io/os_id": "openshift",
    "minikube.k8s.io/name": "minikube",
}
_QUANTITY: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?")
_UNITS: Final = {
    "": 1.0,
    "m": 1e-3,
    **{unit: 1e3**power for power, unit in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{unit: 1024.0**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
}
_GIB: Final = 1024.0**3
# Why a property is left out.
UNFIT: Final = f"a profile holds {MAX_PROPERTIES} properties, with values of 1 to {MAX_VALUE} characters"
# How the names end that Kubernetes defines.
_DEFINED: Final = ".k8s.io"
_OBSERVED: Final = ("kubernetes_version", "region", "properties", "left_out", "facts")


def fitting(properties: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The properties that a profile can hold, unchanged, and the names of those it cannot: never cut (INV-19).

    Of too many stay those that Kubernetes defines, and of the others the first by name.
    """
    by_rank = sorted(properties.items(), key=lambda item: (not item[0].endswith(_DEFINED), item[0]))
    short = [(name, value) for name, value in by_rank if value and len(value) <= MAX_VALUE]
    kept = dict(sorted(short[:MAX_PROPERTIES]))
    return kept, tuple(sorted(set(properties) - set(kept)))[:MAX_PROPERTIES]


def facts(version: str, nodes: Iterable[Node], said: ClusterFacts) -> ClusterFacts:
    """What the cluster is made of; numbers that moved a little stay as they were `said` before (INV-21)."""
    nodes = tuple(nodes)
    zones = {node.metadata.labels.get(ZONE_LABEL, "")[:63] for node in nodes} - {""}
    return ClusterFacts(
        provider=_provider(nodes),
        distribution=_distribution(version, nodes),
        zones=tuple(sorted(zones))[:_MAX_ZONES],
        nodes=coarse(len(nodes), said.nodes),
        cpu=coarse(sum(quantity(node.status.capacity.cpu) for node in nodes), said.cpu),
        memory=coarse(sum(quantity(node.status.capacity.memory) for node in nodes) / _GIB, said.memory),
    )


def coarse(value: float, said: int) -> int:
    """The largest of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that `value` reaches, and 0 below.

    What was `said` before stands until the value is an eighth beyond its step: a cluster whose autoscaler hovers at
    a step is not news.
    """
    if said and said == _step(said) and said * 7 / 8 <= value < _next(said) * 9 / 8:
        return said
    return _step(value)


def _step(value: float) -> int:
    step = 0
    while _next(step) <= value:
        step = _next(step)
    return step


def _next(step: int) -> int:
    if step < 4:
        return step + 1
    # Powers of two, and what lies half way to the next: 4, 6, 8, 12, 16, 24 ...
    return step * 3 // 2 if step & (step - 1) == 0 else step * 4 // 3


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number; 0 for what is none."""
    match = _QUANTITY.fullmatch(text)
    return float(match[1]) * _UNITS[match[2] or ""] if match else 0.0


def _provider(nodes: Iterable[Node]) -> str:
    schemes = {node.spec.provider_id.partition("://")[0] for node in nodes if "://" in node.spec.provider_id}
    if len(schemes) != 1:
        return ""
    (scheme,) = schemes
    return _PROVIDERS.get(scheme, scheme) if is_dns_label(scheme) else ""


def _distribution(version: str, nodes: Iterable[Node]) -> str:
    for pattern, name in _BY_VERSION:
        if pattern.search(version):
            return name
    labels = {label for node in nodes for label in node.metadata.labels}
    return next((name for label, name in _BY_LABEL.items() if label in labels), "")


def observed(status: MemberStatus, said: MemberStatus, *, now: datetime) -> MemberStatus:
    """The status with the moment at which what it says of the cluster was first seen to be so (INV-22)."""
    same = all(getattr(status, part) == getattr(said, part) for part in _OBSERVED)
    when = said.observed_at if same and said.observed_at is not None else now.replace(microsecond=0)
    return msgspec.structs.replace(status, observed_at=when)
