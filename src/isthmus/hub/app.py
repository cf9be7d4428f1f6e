"""`isthmus hub`: one leader per cluster set judges its members."""

import logging
import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.api.core import LEASES
from isthmus.api.isthmus import HUB_LEASE_PREFIX, MEMBERS, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.errors import Invalid, IsthmusError
from isthmus.hub.allowances import allowances
from isthmus.hub.bootstrap import bootstrap_hub
from isthmus.hub.departures import Departures
from isthmus.hub.standing import Standing
from isthmus.hub.verdicts import MANAGER, Verdicts, teller
from isthmus.install.roles import join_access, member_access
from isthmus.inventory.controllers.access import Rights
from isthmus.inventory.controllers.joining import joins
from isthmus.inventory.controllers.profiles import profiles
from isthmus.inventory.rules.health import USUAL, Grace
from isthmus.inventory.rules.profile import is_proxy
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.metrics import metered, metered_until_left
from isthmus.kit.probes import listen, probed
from isthmus.kube.client import Client
from isthmus.kube.config import in_cluster, load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.kube.lease import Elector
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.fleet import Cluster
from isthmus.runtime.manager import Manager

log = logging.getLogger(__name__)

# Seconds for which an election holds unless it is renewed.
_TERM = 15.0
RIGHTS = Rights(member_access, lambda token, member: join_access(token, member=member), registered_id_problem)


@dataclass(frozen=True)
class HubOptions:
    """Where the hub is (None: the cluster we run in), which set it serves, and its patience with members.

    Probes and metrics are served at `metrics`. Consumers find the tunnel at `tunnel`, if there is one.
    """

    kubeconfig: Path | None
    set: str
    grace: Grace = USUAL
    metrics: tuple[str, int] | None = None
    tunnel: str = ""

    def __post_init__(self) -> None:
        if self.tunnel and not is_proxy(self.tunnel):
            raise Invalid(f"the tunnel's address {self.tunnel!r} is not of the form http://HOST:PORT (--tunnel)")


async def run(options: HubOptions) -> None:
    """Serve one cluster set until cancelled. Raises `Invalid` for options that cannot be."""
    if problem := set_problem(options.set):
        raise Invalid(problem)
    config = in_cluster() if options.kubeconfig is None else load_kubeconfig([options.kubeconfig])
    standing = Standing()
    async with (
        probed(listen(options.metrics), standing.readiness, {"set": options.set}),
        Client(config, user_agent="isthmus-hub") as client,
    ):
        metered(standing)
        await serve(client, options, identity=f"{socket.gethostname()}-{os.getpid()}", standing=standing)


async def serve(
    client: Client,
    options: HubOptions,
    *,
    identity: str,
    clock: Clock = SYSTEM,
    standing: Standing | None = None,
) -> None:
    """Serve one cluster set, while elected, until cancelled; `identity` tells two hub processes apart."""
    standing = standing or Standing()
    await _prepare(client, options.set, clock)
    standing.waiting_for = ""
    elector = Elector(
        client,
        namespace=SYSTEM_NAMESPACE,
        name=f"{HUB_LEASE_PREFIX}{options.set}",
        identity=identity,
        # A server that hangs says nothing: whoever leads must have stopped before he takes that for silence.
        duration=min(_TERM, options.grace.silent_after / 2),
        clock=clock,
    )

    async def lead() -> None:
        with metered_until_left():
            await _lead(client, options, standing, clock)

    await elector.lead(lead)


async def _prepare(client: Client, cluster_set: str, clock: Clock) -> None:
    backoff = Backoff(base=0.2, cap=5.0)
    while True:
        try:
            await bootstrap_hub(client, cluster_set, (), clock=clock)
        except Invalid:
            raise
        except IsthmusError as error:
            log.warning("hub not ready, will be tried again", extra={"server": client.server, "error": str(error)})
            await clock.sleep(backoff.next())
        else:
            return


async def _lead(client: Client, options: HubOptions, standing: Standing, clock: Clock) -> None:
    log.info("leading", extra={"set": options.set})
    leases = Informer(client, LEASES, namespace=MEMBERS_NAMESPACE, clock=clock)
    members = Informer(client, MEMBERS, namespace=options.set, clock=clock)
    verdicts = Verdicts(
        leases,
        members,
        Converger(client, manager=MANAGER, force=True, clock=clock),
        teller(client, options.set, clock=clock),
        grace=options.grace,
        clock=clock,
    )
    # One worker: a judgement builds on the last.
    controller = Controller("verdicts", verdicts.reconcile, workers=1, clock=clock)
    verdicts.watch(controller)
    departures = Departures(client, options.set, members, clock=clock)
    clearing = Controller("departures", departures.reconcile, workers=1, clock=clock)
    departures.watch(clearing)
    publishing, published = profiles(client, options.set, members, clock=clock)
    rights = replace(RIGHTS, tunnel=options.tunnel)
    admitting, requests = joins(client, options.set, members, leases, rights, clock=clock)
    holding, stored = allowances(client, options.set, members, clock=clock)
    manager = Manager()
    for each in (controller, clearing, publishing, admitting, holding):
        manager.add(each)
    manager.fleet.engage(Cluster("hub", client, (leases, members, published, requests, *stored)))
    standing.members, standing.leases, standing.verdicts = members, leases, verdicts
    try:
        await manager.run()
    finally:
        standing.members = standing.leases = standing.verdicts = None
