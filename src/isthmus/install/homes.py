"""Where a member's agent lives: what has to be put up for it, what it holds, and what keeps it from running."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import PODS
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.install.credential import demand_reachable
from isthmus.install.held import Held, held_in
from isthmus.install.kinds import whole
from isthmus.install.member import DNS_SERVICE, HUB_TOKEN_FILE, MemberOptions, member_manifests
from isthmus.install.workloads import NAME_LABEL
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import Config

AGENT: Final = "isthmus-agent"


@dataclass(frozen=True)
class Agents:
    """What an agent is started from: its image, whether it works beside another implementation, where it dials in."""

    image: str
    beside: bool = False
    tunnel: str = ""


class Home(Protocol):
    """One of the places where an agent can live."""

    def manifests(self, held: Held) -> tuple[Manifest, ...]:
        """What the member gets, in order."""

    def beside(self, held: Held) -> tuple[Manifest, ...]:
        """What the hub's cluster gets, but for the key to the member."""

    async def demand(self, hub: str) -> None:
        """Raises Invalid, with nothing written, where an agent at home here cannot work with the hub at `hub`."""

    async def held(self) -> Held | None:
        """What was written at a former joining; None if there was none."""

    def at_hub(self, held: Held) -> Config:
        """The hub, as it can be asked about this member."""

    async def settle(self, held: Held) -> None:
        """Bring the agent to life, once the member has its manifests."""

    async def missing(self) -> str:
        """What keeps the agent from running, in words; empty if nothing."""

    async def demand_vacating(self) -> None:
        """Raises Invalid, with nothing written, where whoever asks may not do what leaving takes beside the member."""

    async def vacate(self) -> None:
        """End the agent, where uninstalling the member does not."""

    async def forget(self) -> None:
        """Give up what it held, once all else is gone."""


class InMember:
    """Pull: the agent is a Deployment of the member, and nobody else holds a key to that."""

    def __init__(self, member: Client, agents: Agents) -> None:
        self._member = member
        self._agents = agents

    def manifests(self, held: Held) -> tuple[Manifest, ...]:
        """All of a member, with its credential."""
        return member_manifests(
            MemberOptions(
                held.set,
                held.cluster,
                held.kubeconfig(HUB_TOKEN_FILE),
                self._agents.image,
                self._agents.beside,
                held.token,
                tunnel=self._agents.tunnel,
            )
        )

    def beside(self, held: Held) -> tuple[Manifest, ...]:  # noqa: ARG002 - whoever it is
        """Nothing."""
        return ()

    async def demand(self, hub: str) -> None:
        """A pod cannot reach this machine by the name of `localhost`."""
        demand_reachable(hub)

    async def held(self) -> Held | None:
        """What the Secret of the member holds."""
        return await held_in(self._member)

    def at_hub(self, held: Held) -> Config:
        """By its own token."""
        return held.config()

    async def settle(self, held: Held) -> None:
        """Its Deployment is among the manifests."""

    async def missing(self) -> str:
        """Pods that are not ready, and why."""
        problems = [await unready(self._member, name, SYSTEM_NAMESPACE) for name in (AGENT, DNS_SERVICE)]
        return "; ".join(filter(None, problems))

    async def demand_vacating(self) -> None:
        """By its own token it may leave."""

    async def vacate(self) -> None:
        """It goes with the member's other objects."""

    async def forget(self) -> None:
        """The Secret went with them."""


async def unready(client: Client, name: str, namespace: str) -> str:
    """Why not every pod of the Deployment is ready, as its status and its pods tell; empty if all are."""
    try:
        seen = await client.get(whole(DEPLOYMENTS), name, namespace=namespace)
    except NotFound:
        return f"Deployment {name} is not there"
    wanted = seen["spec"].get("replicas", 1)
    status = seen.get("status") or {}
    is_current = status.get("observedGeneration", 0) >= seen["metadata"].get("generation", 0)
    ready = min(status.get("availableReplicas", 0), status.get("updatedReplicas", 0)) if is_current else 0
    if is_current and ready == wanted == status.get("replicas", 0):
        return ""
    pods = await client.list(PODS, namespace=namespace, options=ListOptions(labels=f"{NAME_LABEL}={name}"))
    reasons = dict.fromkeys(reason for pod in pods.items if (reason := _reason(pod)))
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"{name}: {ready} of {wanted} pods ready{why}"


def _reason(pod: Manifest) -> str:
    """The first thing that its status complains of."""
    status: Mapping[str, object] = pod.get("status") or {}
    for each in _entries(status.get("containerStatuses")):
        waiting = (each.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"{waiting['reason']}: {_short(waiting.get('message', ''))}".rstrip(": ")
    for each in _entries(status.get("conditions")):
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return f"{each.get('reason', '')}: {_short(each.get('message', ''))}"
    return ""


def _entries(found: object) -> Iterable[Manifest]:
    return found if isinstance(found, list) else ()


def _short(text: object) -> str:
    return " ".join(str(text).split())[:200]


def encoded(texts: Mapping[str, str]) -> dict[str, str]:
    """The data of a Secret."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
