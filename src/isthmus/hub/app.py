"""`isthmus hub`: one leader per cluster set judges its members."""

import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from isthmus.about.rules.identity import set_problem
from isthmus.api.core import LEASES
from isthmus.api.isthmus import MEMBERS, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.errors import Invalid, IsthmusError
from isthmus.hub.bootstrap import bootstrap_hub
from isthmus.hub.verdicts import MANAGER, Verdicts
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.config import in_cluster, load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.kube.lease import Elector
from isthmus.mcs.rules.health import Grace
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.fleet import Cluster
from isthmus.runtime.manager import Manager

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubOptions:
    """Where the hub is (None: the cluster we run in), which set it serves, and its patience, in seconds."""

    kubeconfig: Path | None
    set: str
    silent_after: float = 30.0
    brake: float = 300.0


async def run(options: HubOptions) -> None:
    """Serve one cluster set until cancelled. Raises `Invalid` for options that cannot be."""
    if problem := set_problem(options.set):
        raise Invalid(problem)
    config = in_cluster() if options.kubeconfig is None else load_kubeconfig([options.kubeconfig])
    async with Client(config, user_agent="isthmus-hub") as client:
        await serve(client, options, identity=f"{socket.gethostname()}-{os.getpid()}")


async def serve(client: Client, options: HubOptions, *, identity: str, clock: Clock = SYSTEM) -> None:
    """Serve one cluster set, while elected, until cancelled; `identity` tells two hub processes apart."""
    await _prepare(client, options.set, clock)
    elector = Elector(
        client, namespace=SYSTEM_NAMESPACE, name=f"isthmus-hub-{options.set}", identity=identity, clock=clock
    )
    await elector.lead(lambda: _lead(client, options, clock))


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


async def _lead(client: Client, options: HubOptions, clock: Clock) -> None:
    log.info("leading", extra={"set": options.set})
    leases = Informer(client, LEASES, namespace=MEMBERS_NAMESPACE, clock=clock)
    members = Informer(client, MEMBERS, namespace=options.set, clock=clock)
    verdicts = Verdicts(
        leases,
        members,
        Converger(client, manager=MANAGER, force=True, clock=clock),
        grace=Grace(silent_after=options.silent_after, burst=options.silent_after, hold=options.brake),
        clock=clock,
    )
    # One worker: a judgement builds on the last.
    controller = Controller("verdicts", verdicts.reconcile, workers=1, clock=clock)
    verdicts.watch(controller)
    manager = Manager()
    manager.add(controller)
    manager.fleet.engage(Cluster("hub", client, (leases, members)))
    await manager.run()
