"""What a member has in hand at its hub: who it is there, where the hub is, and a token that is renewed in a file."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import yaml

from isthmus.api.core import SECRETS
from isthmus.api.isthmus import CLUSTER_LABEL, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, NotFound
from isthmus.install.member import KUBECONFIG_KEY, TOKEN_KEY
from isthmus.install.roles import HUB_SECRET
from isthmus.kube.client import Client
from isthmus.kube.config import Config
from isthmus.kube.tls import Material, Trust

_NAME: Final = "hub"
# Characters: an authority may be a chain.
_LONGEST: Final = 1 << 20


@dataclass(frozen=True)
class Held:
    """One member's credential. `authority` is PEM, or empty: the system's; `proxy` is a URL, or empty."""

    cluster: str
    set: str
    server: str
    authority: str = field(repr=False)
    proxy: str = ""
    token: str = field(default="", repr=False)

    def config(self) -> Config:
        """The hub, as this member may use it."""
        return hub_config(self.server, self.authority, self.proxy, self.token)

    def kubeconfig(self, token_file: str, *, authority_file: str = "") -> str:
        """The same as a file, with the token in another, by a path that is good where it will be read."""
        cluster: Manifest = {"server": self.server}
        if authority_file:
            cluster["certificate-authority"] = authority_file
        elif self.authority:
            cluster["certificate-authority-data"] = base64.b64encode(self.authority.encode()).decode()
        if self.proxy:
            cluster["proxy-url"] = self.proxy
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _NAME, "cluster": cluster}],
            "users": [{"name": _NAME, "user": {"tokenFile": token_file}}],
            "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
            "current-context": _NAME,
        }
        return yaml.safe_dump(document, sort_keys=False)


def hub_config(server: str, authority: str, proxy: str, token: str) -> Config:
    """A hub by its address, the PEM of its authority, and a token. Raises Invalid."""
    trust = Trust(Material("the hub's certificate authority", authority.encode()) if authority else None)
    return Config(server, trust=trust, proxy=proxy, token=Material("the hub's token", token.encode()))


def held_of(cluster: str, cluster_set: str, kubeconfig: str, token: str) -> Held:
    """Out of what `Held.kubeconfig` made. Raises Invalid."""
    try:
        # What joining writes has a few lines, and one level of nesting in lists.
        cluster_info = msgspec.convert(yaml.safe_load(kubeconfig[:_LONGEST]), _File).clusters[0].cluster
        authority = base64.b64decode(cluster_info.authority, validate=True).decode("ascii")
    except (yaml.YAMLError, msgspec.MsgspecError, IndexError, ValueError, RecursionError) as problem:
        raise Invalid(f"the hub's kubeconfig of {cluster} cannot be read ({problem}): join again") from problem
    return Held(cluster, cluster_set, cluster_info.server, authority, cluster_info.proxy_url, token)


async def held_in(member: Client) -> Held | None:
    """What the Secret in the member holds; None where there is none, or one that was not made by joining."""
    try:
        secret = await member.get(SECRETS, HUB_SECRET, namespace=SYSTEM_NAMESPACE)
    except NotFound:
        return None
    labels = secret["metadata"].get("labels") or {}
    data = secret.get("data") or {}
    if CLUSTER_LABEL not in labels or SET_LABEL not in labels or TOKEN_KEY not in data:
        return None
    return held_of(labels[CLUSTER_LABEL], labels[SET_LABEL], _text(data, KUBECONFIG_KEY), _text(data, TOKEN_KEY))


def _text(data: Mapping[str, str], key: str) -> str:
    try:
        return base64.b64decode(data.get(key, ""), validate=True).decode("ascii")
    except (binascii.Error, ValueError) as problem:
        raise Invalid(f"Secret {SYSTEM_NAMESPACE}/{HUB_SECRET}, key {key}, cannot be read: join again") from problem


class _Cluster(msgspec.Struct):
    server: str
    authority: str = msgspec.field(name="certificate-authority-data", default="")
    proxy_url: str = msgspec.field(name="proxy-url", default="")


class _Entry(msgspec.Struct):
    cluster: _Cluster


class _File(msgspec.Struct):
    clusters: list[_Entry]
