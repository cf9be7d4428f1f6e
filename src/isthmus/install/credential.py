"""Kubeconfigs that go to other clusters: whole in themselves, and with an address that can be reached from there."""

import base64
import ipaddress
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import yaml

from isthmus.api.core import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import CLUSTER_LABEL, MANAGED_BY, MARKER_LABEL, MEMBERS, MEMBERS_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, NotFound
from isthmus.install.manifests import MANAGER
from isthmus.install.registration import AUDIENCES_KEY, TOKENS_CONFIG
from isthmus.install.workloads import HUB, INSTALLATION_LABEL
from isthmus.kube.client import Client, WriteOptions
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.kube.tls import Material
from isthmus.kube.tokens import IssuedToken, bound_to, request_token

_NAME: Final = "hub"
# Names of Secrets that tokens are bound to end in so many random characters.
_SUFFIX: Final = 5


@dataclass(frozen=True)
class Credential:
    """A kubeconfig, until when it is good, and the Secret whose deletion ends it at once."""

    kubeconfig: str = field(repr=False)
    expires: datetime
    namespace: str
    secret: str


async def member_credential(
    client: Client, config: Config, *, cluster_set: str, member: str, server: str, seconds: int
) -> Credential:
    """A new token of the member's account at the hub, which lives no longer than a Secret of its own.

    Former ones stay good. Raises Invalid if there is no such member.
    """
    server = server or config.server
    demand_reachable(server)
    try:
        await client.get(MEMBERS, member, namespace=cluster_set)
        await client.get(SERVICE_ACCOUNTS, member, namespace=MEMBERS_NAMESPACE)
    except NotFound as missing:
        raise Invalid(
            f"{client.server} knows no member {member} of set {cluster_set} ({missing.message}). "
            f"Type: isthmus install hub --set {cluster_set} --members {member}"
        ) from missing
    secret = await client.create(SECRETS, _anchor(member), namespace=MEMBERS_NAMESPACE)
    bound = bound_to(SECRETS.kind, secret["metadata"]["name"], secret["metadata"]["uid"])
    issued = await request_token(client, member, namespace=MEMBERS_NAMESPACE, seconds=seconds, bound=bound)
    await note_audiences(client, issued)
    return Credential(
        kubeconfig(config, server=server, token=issued.token),
        issued.expires,
        MEMBERS_NAMESPACE,
        secret["metadata"]["name"],
    )


def _anchor(member: str) -> Manifest:
    labels = {MARKER_LABEL: MANAGED_BY, INSTALLATION_LABEL: HUB, CLUSTER_LABEL: member}
    name = f"{member}-{secrets.token_hex(_SUFFIX)}"
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"name": name, "labels": labels},
        "type": "Opaque",
    }


async def note_audiences(client: Client, issued: IssuedToken) -> None:
    """Members may ask for tokens of the hub's own audiences only: which these are, it says with a token itself."""
    manifest: Manifest = {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {"name": TOKENS_CONFIG, "namespace": MEMBERS_NAMESPACE, "labels": {MARKER_LABEL: MANAGED_BY}},
        "data": {AUDIENCES_KEY: "\n".join(issued.audiences)},
    }
    await client.apply(CONFIG_MAPS, manifest, options=WriteOptions(manager=MANAGER, force=True))


def contained(file: Path, *, context: str | None = None, server: str = "") -> str:
    """The chosen context of a kubeconfig with all certificates and tokens inline, and nothing else of it.

    `server` replaces the address in it. Raises Invalid for what does not work inside a pod: an exec plugin,
    or an address of the machine itself.
    """
    config = load_kubeconfig([file], context=context)
    if config.plugin is not None or config.headers:
        raise Invalid(
            f"{file}: context {config.context} calls a program or impersonates, which a pod cannot; "
            "type: isthmus install credential"
        )
    return kubeconfig(config, server=server or config.server)


def kubeconfig(config: Config, *, server: str, token: str = "") -> str:
    """A kubeconfig for `server` that trusts as `config` does, with `token` or else its identity."""
    demand_reachable(server)
    cluster: Manifest = {"server": server} | _inline("certificate-authority-data", config.trust.authority)
    if config.trust.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if config.server_name:
        cluster["tls-server-name"] = config.server_name
    if config.proxy:
        cluster["proxy-url"] = config.proxy
    user: Manifest = {"token": token}
    if not token:
        user = _inline("client-certificate-data", config.trust.certificate)
        user |= _inline("client-key-data", config.trust.key)
        if config.token is not None:
            user["token"] = config.token.read().decode().strip()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": user}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        "current-context": _NAME,
    }
    return yaml.safe_dump(document, sort_keys=False)


def demand_reachable(server: str) -> None:
    """Raises Invalid for an address that means something else inside a pod of another cluster."""
    if is_this_machine(server):
        raise Invalid(
            f"the hub's address {server} is this machine itself, which no pod reaches; "
            "give the address by which members reach the hub: --server https://HOST:PORT"
        )


def is_this_machine(server: str) -> bool:
    """Whether the address means whatever machine it is read on."""
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _inline(field: str, material: Material | None) -> Manifest:
    return {field: base64.b64encode(material.read()).decode()} if material is not None else {}
