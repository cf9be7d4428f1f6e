"""Whose road it is: which member of which hub a cluster is, as that by which its agent runs tells."""

import base64
import binascii
import tempfile
from dataclasses import dataclass
from pathlib import Path

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import SECRETS
from isthmus.api.isthmus import CLUSTER_LABEL, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, NotFound
from isthmus.install.held import held_in
from isthmus.install.homes import AGENT
from isthmus.install.kinds import whole
from isthmus.install.member import KUBECONFIG_KEY
from isthmus.install.push import KEY
from isthmus.install.roles import HUB_SECRET
from isthmus.kube.client import Client
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.kube.kubeconfig import ClusterInfo, UserInfo, parsed

_SECRET = f"Secret {SYSTEM_NAMESPACE}/{HUB_SECRET}"


@dataclass(frozen=True)
class Whose:
    """A member: its set, its way to the hub (None where its agent has another), and how its agent came to be."""

    cluster: str
    set: str
    hub: Config | None = None
    is_pushed: bool = False
    by_hand: bool = False


async def whose(member: Client) -> Whose | None:
    """By the Secret of joining; of an agent beside the hub by its key; of one put up by hand by its arguments.

    None where no agent works for the cluster. Raises Invalid for what cannot be read.
    """
    if (held := await held_in(member)) is not None:
        return Whose(held.cluster, held.set, held.config())
    if (key := await _found(member, KEY)) is not None:
        labels = key["metadata"].get("labels") or {}
        return Whose(labels.get(CLUSTER_LABEL, ""), labels.get(SET_LABEL, ""), is_pushed=True)
    try:
        agent = await member.get(whole(DEPLOYMENTS), AGENT, namespace=SYSTEM_NAMESPACE)
    except NotFound:
        return None
    said = _arguments(agent)
    secret = await _found(member, HUB_SECRET)
    hub = _inline((secret.get("data") or {}).get(KUBECONFIG_KEY, "")) if secret is not None else None
    return Whose(said.get("--cluster", ""), said.get("--set", ""), hub, by_hand=True)


async def _found(member: Client, name: str) -> Manifest | None:
    try:
        return await member.get(SECRETS, name, namespace=SYSTEM_NAMESPACE)
    except NotFound:
        return None


def _arguments(agent: Manifest) -> dict[str, str]:
    container = agent["spec"]["template"]["spec"]["containers"][0]
    pairs = (word.partition("=") for word in container.get("args") or ())
    return {name: value for name, _, value in pairs}


def _inline(encoded: str) -> Config | None:
    """A kubeconfig that is whole in itself; None for any other.

    What it names was meant for the agent's pod: here it would be a file, or a program, of whoever asks.
    """
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error as problem:
        raise Invalid(f"{_SECRET}, key {KUBECONFIG_KEY}: not base64: {problem}") from problem
    file = parsed(content, f"{_SECRET}, key {KUBECONFIG_KEY}")
    users = [each.user or UserInfo() for each in file.users or ()]
    clusters = [each.cluster or ClusterInfo() for each in file.clusters or ()]
    if any(user.exec or user.token_file or user.client_certificate or user.client_key for user in users) or any(
        cluster.certificate_authority for cluster in clusters
    ):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / KUBECONFIG_KEY
        path.write_bytes(content)
        return load_kubeconfig([path])
