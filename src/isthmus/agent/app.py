"""`isthmus agent`: joins one cluster to its set, as long as it is the one agent elected for it."""

import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.agent.agent import Agent, Duty
from isthmus.agent.needs import missing
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.errors import Invalid
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.config import in_cluster, load_kubeconfig
from isthmus.kube.lease import Elector

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentOptions:
    """Where hub and member are (no `kubeconfig`: the cluster we run in), and who the member is in which set.

    `heartbeat` is in seconds.
    """

    hub_kubeconfig: Path
    kubeconfig: Path | None
    cluster: str
    set: str
    heartbeat: float = 10.0
    probes: tuple[str, int] | None = None


async def run(options: AgentOptions) -> None:
    """Work for one cluster until cancelled. Raises `Invalid` for options that cannot be."""
    if problem := registered_id_problem(options.cluster) or set_problem(options.set):
        raise Invalid(problem)
    hub_config = load_kubeconfig([options.hub_kubeconfig])
    config = in_cluster() if options.kubeconfig is None else load_kubeconfig([options.kubeconfig])
    duty = Duty(options.cluster, options.set, f"{socket.gethostname()}-{os.getpid()}", options.heartbeat)
    async with (
        Client(config, user_agent="isthmus-agent") as member,
        Client(hub_config, user_agent="isthmus-agent") as hub,
    ):
        await serve(duty, member=member, hub=hub)


async def serve(duty: Duty, *, member: Client, hub: Client, clock: Clock = SYSTEM) -> None:
    """Work for one cluster, while elected, until cancelled."""
    await _wait_until_ready(member, clock)
    elector = Elector(member, namespace=SYSTEM_NAMESPACE, name="isthmus-agent", identity=duty.identity, clock=clock)

    async def lead() -> None:
        log.info("leading", extra={"cluster": duty.cluster, "identity": duty.identity})
        # Made anew for each term: what another agent did meanwhile must not be mistaken for one's own.
        await Agent(duty, member=member, hub=hub, clock=clock).run()

    await elector.lead(lead)


async def _wait_until_ready(member: Client, clock: Clock) -> None:
    """The agent installs nothing: it says what is missing, and waits."""
    backoff = Backoff(base=0.5, cap=10.0)
    said = ""
    while problem := await missing(member):
        if problem != said:
            log.warning("waiting for the cluster", extra={"server": member.server, "problem": problem})
            said = problem
        await clock.sleep(backoff.next())
