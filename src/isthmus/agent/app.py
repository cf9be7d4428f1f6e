"""`isthmus agent`: joins one cluster to its set, as long as it is the one agent elected for it."""

import asyncio
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.agent.agent import Agent, Duty
from isthmus.agent.needs import missing
from isthmus.agent.renewal import in_file, in_secret, renew
from isthmus.agent.standing import Standing
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.errors import Invalid
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.metrics import metered, metered_until_left
from isthmus.kit.probes import listen, probed
from isthmus.kube.client import Client
from isthmus.kube.config import Config, in_cluster, load_kubeconfig
from isthmus.kube.lease import Elector
from isthmus.tunnel.agent import Dialer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentOptions:
    """Where hub and member are (no `kubeconfig`: the cluster we run in), and who the member is in which set.

    `heartbeat` is in seconds; probes and metrics are served at `metrics`. Unless `beside_another`, the agent waits
    where another implementation of multi-cluster services is at work. Consumers come through the `tunnel`, if it has
    an address.
    """

    hub_kubeconfig: Path
    kubeconfig: Path | None
    cluster: str
    set: str
    heartbeat: float = 10.0
    metrics: tuple[str, int] | None = None
    beside_another: bool = False
    tunnel: str = ""


async def run(options: AgentOptions) -> None:
    """Work for one cluster until cancelled. Raises `Invalid` for options that cannot be."""
    if problem := registered_id_problem(options.cluster) or set_problem(options.set):
        raise Invalid(problem)
    hub_config = load_kubeconfig([options.hub_kubeconfig])
    config = in_cluster() if options.kubeconfig is None else load_kubeconfig([options.kubeconfig])
    duty = Duty(options.cluster, options.set, f"{socket.gethostname()}-{os.getpid()}", options.heartbeat)
    standing = Standing(SYSTEM)
    standing.token = hub_config.token
    labels = {"set": options.set, "member": options.cluster}
    async with (
        probed(listen(options.metrics), standing.readiness, labels),
        Client(config, user_agent="isthmus-agent") as member,
        Client(hub_config, user_agent="isthmus-agent") as hub,
    ):
        metered(standing)
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(_renew(hub, hub_config, member, options), name="renew")]
            if options.tunnel:
                # Whoever leads: connections go on when another agent does.
                others.append(tasks.create_task(Dialer(options.tunnel, hub_config, config.server).run(), name="tunnel"))
            await serve(duty, member=member, hub=hub, standing=standing, beside=options.beside_another)
            for task in others:
                task.cancel()


async def _renew(hub: Client, config: Config, member: Client, options: AgentOptions) -> None:
    """Only what stands in a file of its own can be replaced while we run."""
    if config.token is not None and (file := config.token.file) is not None:
        keep = in_secret(member) if options.kubeconfig is None else in_file(file)
        await renew(hub, config.token, keep)


async def serve(
    duty: Duty,
    *,
    member: Client,
    hub: Client,
    clock: Clock = SYSTEM,
    standing: Standing | None = None,
    beside: bool = False,
) -> None:
    """Work for one cluster, while elected, until cancelled; `standing` is told how it goes.

    Not `beside` another implementation, unless told to.
    """
    standing = standing or Standing(clock)
    await _wait_until_ready(member, standing, clock, beside=beside)
    elector = Elector(member, namespace=SYSTEM_NAMESPACE, name="isthmus-agent", identity=duty.identity, clock=clock)

    async def lead() -> None:
        log.info("leading", extra={"cluster": duty.cluster, "identity": duty.identity})
        # Made anew for each term: what another agent did meanwhile must not be mistaken for one's own.
        # And after the cluster has left: the next one waits for it to be a member again.
        while True:
            with metered_until_left():
                standing.agent = Agent(duty, member=member, hub=hub, clock=clock)
                try:
                    await standing.agent.run()
                finally:
                    standing.agent = None

    await elector.lead(lead)


async def _wait_until_ready(member: Client, standing: Standing, clock: Clock, *, beside: bool) -> None:
    """The agent installs nothing: it says what is missing, and waits."""
    backoff = Backoff(base=0.5, cap=5.0)
    said = ""
    while problem := await missing(member, beside=beside):
        if problem != said:
            log.warning("waiting for the cluster", extra={"server": member.server, "problem": problem})
            standing.waiting_for = said = problem
        await clock.sleep(backoff.next())
    standing.waiting_for = ""
