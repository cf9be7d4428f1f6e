"""How an embedded cluster joins and leaves by hand: its agent is a process of the set's supervisor, not a Deployment.

All that runs in embedded clusters in place of a control plane, kubelet and DNS are such processes; the agent and the
DNS server have their place among them. An image would have to be built and unpacked for a pod, to run the very same
program. What it holds for its hub lies in two files of the cluster's folder; the token is renewed in its own.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import SECRETS, SERVICE_ACCOUNTS, SERVICES
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.held import Held
from isthmus.install.homes import Agents
from isthmus.install.kinds import DISRUPTION_BUDGETS, PRIORITY_CLASSES
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.kube.config import Config
from isthmus.local.control import Answer, Command, ask
from isthmus.local.state import HUB, SetFiles, known_sets, write_private

MEMBERSHIP: Final = "membership.json"
HUB_TOKEN: Final = "hub-token"  # noqa: S105  # a file's name
_AS_PROCESSES: Final = {
    each.kind for each in (DEPLOYMENTS, DISRUPTION_BUDGETS, PRIORITY_CLASSES, SECRETS, SERVICES, SERVICE_ACCOUNTS)
}


def membership(folder: Path) -> Held | None:
    """What a cluster holds since it joined by hand; None if it did not. Raises Invalid."""
    try:
        held = msgspec.json.decode((folder / MEMBERSHIP).read_bytes(), type=Held)
        return replace(held, token=(folder / HUB_TOKEN).read_text())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as problem:
        raise Invalid(f"{folder / MEMBERSHIP}: {problem}; join again") from problem


def embedded(server: str, context: str) -> tuple[SetFiles, str] | None:
    """The set and name of the embedded cluster of this machine that listens there; None if it is none."""
    for name in known_sets():
        files = SetFiles(name)
        record = files.read().clusters.get(context)
        if record and server == f"https://127.0.0.1:{record.port}":
            return files, context
    return None


class Supervised:
    """A Home beside the cluster's other processes."""

    def __init__(self, files: SetFiles, name: str, agents: Agents) -> None:
        self._files = files
        self._name = name
        self._folder = files.cluster(name)
        self._agents = agents

    def manifests(self, held: Held) -> tuple[Manifest, ...]:
        """A member's definitions, namespace, roles and policies; what would run there as pods runs as processes."""
        options = MemberOptions(held.set, held.cluster, "", beside_another=self._agents.beside)
        return tuple(each for each in member_manifests(options) if each["kind"] not in _AS_PROCESSES)

    def beside(self, held: Held) -> tuple[Manifest, ...]:  # noqa: ARG002 - whoever it is
        """Nothing: the supervisor has it."""
        return ()

    async def demand(self, hub: str) -> None:
        """A cluster with a node of its own reaches nothing but the clusters of its set."""
        units = (await self._ask(Command(do="status"))).units
        if not any(unit.cluster == self._name for unit in units if unit.state != "stopped"):
            raise Invalid(f"{self._name} does not run. Type: isthmus start {self._name} --set {self._files.name}")
        record = self._files.read().clusters.get(HUB)
        own = f"https://127.0.0.1:{record.port}" if record else ""
        if hub != own and any(unit.name == f"{self._name}/node" for unit in units):
            raise Invalid(
                f"the embedded cluster {self._name} has a network of its own, from which it reaches only the hub of "
                f"its set ({own}), not {hub}: get a token there: isthmus token create --context hub"
            )

    async def held(self) -> Held | None:
        """What its files hold."""
        return membership(self._folder)

    def at_hub(self, held: Held) -> Config:
        """By its own token, from outside."""
        return held.config()

    async def settle(self, held: Held) -> None:
        """Write what it holds, and have the supervisor start its processes."""
        write_private(self._folder / HUB_TOKEN, held.token)
        write_private(self._folder / MEMBERSHIP, msgspec.json.encode(replace(held, token="")).decode())
        await self._ask(Command(do="join", clusters=(self._name,)))

    async def missing(self) -> str:
        """A process that does not stay."""
        units = {unit.name: unit for unit in (await self._ask(Command(do="status"))).units}
        unit = units.get(f"{self._name}/agent")
        if unit is None:
            return f"no process {self._name}/agent"
        log = self._folder / "logs" / "agent.log"
        return "" if unit.state == "running" else f"{unit.name} does not stay (its log: {log})"

    async def demand_vacating(self) -> None:
        """By its own token it may leave."""

    async def vacate(self) -> None:
        """Have the supervisor end its processes."""
        await self._ask(Command(do="leave", clusters=(self._name,)))

    async def forget(self) -> None:
        """Delete its files, the one that says who it was last."""
        (self._folder / HUB_TOKEN).unlink(missing_ok=True)
        (self._folder / MEMBERSHIP).unlink(missing_ok=True)

    async def _ask(self, command: Command) -> Answer:
        return await asyncio.to_thread(ask, self._files.socket, command)
