"""All that makes a cluster a member, as manifests: the SIG's definitions, roles, policies, agent and DNS server."""

import base64
import hashlib
from dataclasses import dataclass, field

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.agent.needs import BESIDE
from isthmus.api.core import SECRETS
from isthmus.api.crds import ABOUT_CRDS, MCS_CRDS
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.policies import member_policies
from isthmus.install.roles import member_roles
from isthmus.install.workloads import (
    IMAGE,
    MEMBER,
    Workload,
    installation,
    made,
    namespace,
    priority,
    service,
    workload,
)

# The Secret with the kubeconfig by which the agent reaches its hub.
HUB_SECRET = "isthmus-hub"  # noqa: S105  # its name
KUBECONFIG_KEY = "kubeconfig"
DNS_SERVICE = "isthmus-dns"
# Above 1023: nobody needs a privilege to listen here. The Service has port 53.
_DNS_PORT = 1053
# Seconds until all nodes, and those who keep a connection, send no more queries to a pod that ends.
_LAME = 10
_DNS_PORTS = {"dns": "UDP", "dns-tcp": "TCP"}
_CREDENTIAL_FOLDER = "/etc/isthmus/hub"
_CREDENTIAL_ANNOTATION = "isthmus.dev/hub-credential"


@dataclass(frozen=True)
class MemberOptions:
    """Under which id a cluster is in which set, and the kubeconfig (its text) by which it reaches the hub.

    With `beside_another`, its agent works though another implementation does. Raises Invalid for names that cannot be.
    """

    set: str
    cluster: str
    hub_kubeconfig: str = field(repr=False)
    image: str = IMAGE
    beside_another: bool = False

    def __post_init__(self) -> None:
        if problem := set_problem(self.set) or registered_id_problem(self.cluster):
            raise Invalid(problem)


def member_manifests(options: MemberOptions) -> tuple[Manifest, ...]:
    """The manifests of a member, in the order in which they are to be applied."""
    credential = options.hub_kubeconfig.encode()
    agent = Workload(
        "isthmus-agent",
        options.image,
        (
            "agent",
            f"--set={options.set}",
            f"--cluster={options.cluster}",
            f"--hub-kubeconfig={_CREDENTIAL_FOLDER}/{KUBECONFIG_KEY}",
            *([BESIDE] if options.beside_another else []),
        ),
        options.set,
        secrets={HUB_SECRET: _CREDENTIAL_FOLDER},
        # A new credential brings new pods.
        annotations={_CREDENTIAL_ANNOTATION: hashlib.sha256(credential).hexdigest()[:16]},
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
    )
    data = {KUBECONFIG_KEY: base64.b64encode(credential).decode()}
    manifests = (
        namespace(SYSTEM_NAMESPACE, {}),
        *ABOUT_CRDS,
        *MCS_CRDS,
        priority(),
        *member_roles(),
        *member_policies(),
        made(SECRETS, HUB_SECRET, SYSTEM_NAMESPACE, type="Opaque", data=data),
        *workload(agent),
        *workload(names),
        service(
            DNS_SERVICE,
            ({"name": name, "port": 53, "targetPort": name, "protocol": p} for name, p in _DNS_PORTS.items()),
        ),
    )
    return installation(MEMBER, manifests)
