"""What is known of a member before its road is walked, what a step finds, and the walk itself."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from isthmus.api.isthmus import MEMBERS, Member
from isthmus.api.meta import Condition
from isthmus.errors import IsthmusError, Refused
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client


@dataclass(frozen=True)
class Finding:
    """What one step found; `remedy` is what to type, and empty where all is well or could not be looked at."""

    step: str
    said: str
    remedy: str = ""
    looked: bool = True

    @property
    def is_broken(self) -> bool:
        """Whether the road ends here."""
        return bool(self.remedy)


class Inside(Protocol):
    """Asks as a pod of the member would."""

    async def resolve(self, name: str) -> Sequence[str]:
        """The addresses that the cluster's DNS gives for a name, none if it knows none. Raises IsthmusError."""

    async def connect(self, address: str, port: int) -> str:
        """Why there is no TCP connection to it; empty if there is one. Raises IsthmusError."""


@dataclass(frozen=True)
class Words:
    """How commands for the member, for the hub, and Isthmus' own options for the member are typed.

    `again` puts up what is missing of a member that did not join by a token.
    """

    member: str
    hub: str = "kubectl --context HUB"
    context: str = ""
    again: str = ""


@dataclass(frozen=True)
class Road:
    """One member's way to the set. `inside` is None where nobody can ask from inside the cluster.

    With `is_pushed` its agent runs beside the hub.
    """

    member: Client
    hub: Client
    cluster: str
    set: str
    words: Words
    inside: Inside | None = None
    clock: Clock = SYSTEM
    is_pushed: bool = False

    async def record(self) -> Member:
        """What the hub holds of the member."""
        return await self.hub.get(MEMBERS, self.cluster, namespace=self.set)


Step: TypeAlias = tuple[str, Callable[[Road], Awaitable[Finding]]]


async def walk(road: Road, steps: Sequence[Step]) -> AsyncIterator[Finding]:
    """The findings in order, up to the first that is broken: what lies behind it cannot be well."""
    for name, look in steps:
        finding = await _looked(road, name, look)
        yield finding
        if finding.is_broken:
            return


async def _looked(road: Road, name: str, look: Callable[[Road], Awaitable[Finding]]) -> Finding:
    try:
        return await look(road)
    except Refused as error:
        if error.code not in {401, 403}:
            return Finding(name, str(error), f"look at it by hand. Type: {road.words.member} get --raw /readyz?verbose")
        return Finding(name, str(error), "use a context of somebody who may read this. Type: kubectl auth whoami")
    except IsthmusError as error:
        return Finding(name, str(error), f"see whether it answers. Type: {road.words.member} get --raw /readyz")


def untrue(conditions: Sequence[Condition], *kinds: str) -> str:
    """Which of these conditions is not True, and why, in words; empty if all are. One that is not there counts."""
    found = {condition.type: condition for condition in conditions}
    for kind in kinds:
        condition = found.get(kind)
        if condition is None:
            return f"not {kind}: nobody has said so yet"
        if condition.status != "True":
            return f"not {kind}: {condition.reason}: {condition.message}"
    return ""
