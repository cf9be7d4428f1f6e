"""All that a hub consists of, as manifests: definitions, one set's namespace, its members' access, its processes.

What bears the label of a set is that set's alone; the rest serves all sets of the hub.
"""

from dataclasses import dataclass, replace
from typing import Final

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.crds import HUB_CRDS
from isthmus.api.isthmus import CLUSTER_SET_LABELS, MEMBERS, MEMBERS_NAMESPACE, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.kinds import NETWORK_POLICIES, whole
from isthmus.install.policies import hub_policies
from isthmus.install.roles import hub_roles, inventory_role, member_access, tunnel_roles
from isthmus.install.workloads import (
    AS_USUAL,
    HUB,
    IMAGE,
    METRICS_PORT,
    NAME_LABEL,
    Tuning,
    Workload,
    installation,
    labelled,
    made,
    namespace,
    priority,
    service,
    workload,
)
from isthmus.inventory.rules.health import Grace
from isthmus.inventory.rules.profile import is_proxy

HUB_CONTROLLER: Final = "isthmus-hub"
TUNNEL: Final = "isthmus-tunnel"
# Where consumers in the hub's own cluster find it.
TUNNEL_URL: Final = f"http://{TUNNEL}.{SYSTEM_NAMESPACE}.svc:8132"
# On namespaces of the hub's cluster whose pods may come through it.
LET_IN: Final = {"isthmus.dev/tunnel": "consumer"}
# For a hundred members. Measured: 57 MiB resident with none, bounded by 0.4 MiB for each (`python -m bench registry`).
_HUB_MEMORY: Final = "96Mi"
# Measured: 55 MiB resident at rest, and no processor; what it relays passes through.
_TUNNEL_MEMORY: Final = "80Mi"
_TUNNEL_FOLDER: Final = "/etc/isthmus/tunnel"
_TUNNEL_PORTS: Final = {"consumers": 8132, "agents": 8133}


@dataclass(frozen=True)
class HubOptions:
    """Which set the hub serves, which clusters are in it, and the image. Raises Invalid for names that cannot be.

    A member without a sign of life for `silent_after` seconds is silent. With `tunnel`, which is where consumers find
    it, there is a proxy server for members that accept no connections.
    """

    set: str
    members: tuple[str, ...] = ()
    image: str = IMAGE
    silent_after: float = Grace.silent_after
    tuning: Tuning = AS_USUAL
    tunnel: str = ""

    def __post_init__(self) -> None:
        problems = [set_problem(self.set), *map(registered_id_problem, self.members)]
        if problem := next(filter(None, problems), ""):
            raise Invalid(problem)
        if self.tunnel and not is_proxy(self.tunnel):
            raise Invalid(f"the tunnel's address {self.tunnel!r} is not of the form http://HOST:PORT (--tunnel)")


def hub_manifests(options: HubOptions) -> tuple[Manifest, ...]:
    """The manifests of a hub, in the order in which they are to be applied."""
    name = options.set
    set_labels = {SET_LABEL: name} | dict.fromkeys(CLUSTER_SET_LABELS, name)
    tunnel = (f"--tunnel={options.tunnel}",) if options.tunnel else ()
    args = ("hub", f"--set={name}", f"--silent-after={options.silent_after:g}", *tunnel)
    controller = Workload(
        HUB_CONTROLLER,
        options.image,
        args,
        cluster_set=name,
        each_set=True,
        memory=_HUB_MEMORY,
        tuning=options.tuning,
    )
    account, *controlling = workload(controller)
    of_all_sets = (
        namespace(SYSTEM_NAMESPACE, {}),
        namespace(MEMBERS_NAMESPACE, {}),
        *HUB_CRDS,
        priority(),
        inventory_role(),
        *hub_policies(),
        account,
        *(_tunnel(options) if options.tunnel else ()),
    )
    of_this = [namespace(name, set_labels), *hub_roles(name), *controlling]
    for member in options.members:
        of_this += member_manifests_at_hub(name, member)
    return installation(HUB, (*of_all_sets, *(labelled(each, {SET_LABEL: name}) for each in of_this)))


def _tunnel(options: HubOptions) -> tuple[Manifest, ...]:
    """The proxy server, with a certificate that its admin puts into a Secret; of all sets of the hub."""
    process = Workload(
        TUNNEL,
        options.image,
        ("tunnel", f"--tls-cert-file={_TUNNEL_FOLDER}/tls.crt", f"--tls-private-key-file={_TUNNEL_FOLDER}/tls.key"),
        ports=tuple({"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _TUNNEL_PORTS.items()),
        memory=_TUNNEL_MEMORY,
        secrets={TUNNEL: _TUNNEL_FOLDER},
        # An agent has dialled in at one of them, and consumers would be led to the other.
        tuning=replace(options.tuning, replicas=1),
    )
    ports = ({"name": n, "port": port, "targetPort": n, "protocol": "TCP"} for n, port in _TUNNEL_PORTS.items())
    return (*tunnel_roles(), *workload(process), service(TUNNEL, ports), _tunnel_policy())


def _tunnel_policy() -> Manifest:
    """Consumers are let in by their namespace: `proxy-url` leaves them no way to say who they are."""
    consumers, others = _TUNNEL_PORTS["consumers"], (_TUNNEL_PORTS["agents"], METRICS_PORT)
    marked = {"namespaceSelector": {"matchLabels": LET_IN}}
    spec = {
        "podSelector": {"matchLabels": {NAME_LABEL: TUNNEL}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [marked], "ports": [{"port": consumers, "protocol": "TCP"}]},
            {"ports": [{"port": port, "protocol": "TCP"} for port in others]},
        ],
    }
    return made(NETWORK_POLICIES, TUNNEL, SYSTEM_NAMESPACE, spec=spec)


def hub_definitions() -> tuple[Manifest, ...]:
    """The definitions alone."""
    return installation(HUB, HUB_CRDS)


def member_manifests_at_hub(cluster_set: str, member: str) -> tuple[Manifest, ...]:
    """One cluster's place in the set: its record, its account, and what that may do."""
    account = made(SERVICE_ACCOUNTS, member, MEMBERS_NAMESPACE, automountServiceAccountToken=False)
    # Without the moment of joining: the record's own age says it, and applying again must not change it.
    record = made(whole(MEMBERS), member, cluster_set, spec={"id": member, "set": cluster_set})
    return (account, *member_access(cluster_set, member), record)
