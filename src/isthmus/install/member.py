"""All that makes a cluster a member, as manifests: the SIG's definitions, roles, policies, agent and DNS server."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.agent.needs import BESIDE
from isthmus.api.core import SECRETS
from isthmus.api.crds import ABOUT_CRDS, MCS_CRDS
from isthmus.api.isthmus import CLUSTER_LABEL, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.policies import member_policies
from isthmus.install.roles import HUB_SECRET, member_roles
from isthmus.install.workloads import (
    AS_USUAL,
    IMAGE,
    MEMBER,
    Tuning,
    Workload,
    installation,
    made,
    namespace,
    priority,
    service,
    workload,
)

KUBECONFIG_KEY = "kubeconfig"
DNS_SERVICE = "isthmus-dns"
# Above 1023: nobody needs a privilege to listen here. The Service has port 53.
_DNS_PORT = 1053
# Seconds until all nodes, and those who keep a connection, send no more queries to a pod that ends.
_LAME = 10
_DNS_PORTS = {"dns": "UDP", "dns-tcp": "TCP"}
_CREDENTIAL_FOLDER = "/etc/isthmus/hub"
TOKEN_KEY = "token"  # noqa: S105  # its name
HUB_TOKEN_FILE = f"{_CREDENTIAL_FOLDER}/{TOKEN_KEY}"
CREDENTIAL_ANNOTATION = "isthmus.dev/hub-credential"


@dataclass(frozen=True)
class MemberOptions:
    """Under which id a cluster is in which set, and the kubeconfig (its text) by which it reaches the hub.

    That may name the file HUB_TOKEN_FILE, which then holds `hub_token`: it is renewed there. Without it, somebody else
    makes the Secret. With `beside_another`, its agent works though another implementation does; it gives a sign of life
    every `heartbeat` seconds, and dials in at `tunnel`, if there is one. Raises Invalid for names that cannot be.
    """

    set: str
    cluster: str
    hub_kubeconfig: str = field(repr=False)
    image: str = IMAGE
    beside_another: bool = False
    hub_token: str = field(default="", repr=False)
    heartbeat: float = 10.0
    tuning: Tuning = AS_USUAL
    tunnel: str = ""

    def __post_init__(self) -> None:
        if problem := set_problem(self.set) or registered_id_problem(self.cluster):
            raise Invalid(problem)
        if self.tunnel and not self.tunnel.startswith("https://"):
            raise Invalid(f"the tunnel's address {self.tunnel!r} does not begin with https:// (--tunnel)")


def member_manifests(options: MemberOptions) -> tuple[Manifest, ...]:
    """The manifests of a member, in the order in which they are to be applied."""
    credential = {KUBECONFIG_KEY: options.hub_kubeconfig, TOKEN_KEY: options.hub_token}
    credential = {key: text for key, text in credential.items() if text}
    agent = Workload(
        "isthmus-agent",
        options.image,
        (
            "agent",
            f"--set={options.set}",
            f"--cluster={options.cluster}",
            f"--hub-kubeconfig={_CREDENTIAL_FOLDER}/{KUBECONFIG_KEY}",
            f"--heartbeat={options.heartbeat:g}",
            *([BESIDE] if options.beside_another else []),
            *([f"--tunnel={options.tunnel}"] if options.tunnel else []),
        ),
        options.set,
        secrets={HUB_SECRET: _CREDENTIAL_FOLDER},
        # A new credential brings new pods.
        annotations={CREDENTIAL_ANNOTATION: digest(credential)} if credential else {},
        tuning=options.tuning,
    )
    names = Workload(
        DNS_SERVICE,
        options.image,
        ("dns", f"--listen=:{_DNS_PORT}"),
        options.set,
        cpu="50m",
        lame=_LAME,
        ports=tuple(
            {"name": name, "containerPort": _DNS_PORT, "protocol": protocol} for name, protocol in _DNS_PORTS.items()
        ),
        tuning=options.tuning,
    )
    manifests = (
        namespace(SYSTEM_NAMESPACE, {}),
        *ABOUT_CRDS,
        *MCS_CRDS,
        priority(),
        *member_roles(),
        *member_policies(),
        *([_secret(options, credential)] if credential else []),
        *workload(agent),
        *workload(names),
        service(
            DNS_SERVICE,
            ({"name": name, "port": 53, "targetPort": name, "protocol": p} for name, p in _DNS_PORTS.items()),
        ),
    )
    return installation(MEMBER, manifests)


def member_definitions() -> tuple[Manifest, ...]:
    """The definitions alone."""
    return installation(MEMBER, (*ABOUT_CRDS, *MCS_CRDS))


def _secret(options: MemberOptions, credential: Mapping[str, str]) -> Manifest:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in credential.items()}
    secret = made(SECRETS, HUB_SECRET, SYSTEM_NAMESPACE, type="Opaque", data=data)
    secret["metadata"]["labels"] = {SET_LABEL: options.set, CLUSTER_LABEL: options.cluster}
    return secret


def digest(credential: Mapping[str, str]) -> str:
    """What a credential is told apart by. Of a kubeconfig alone as it always was: no pods go for the name of a key."""
    return hashlib.sha256("".join(credential.values()).encode()).hexdigest()[:16]
