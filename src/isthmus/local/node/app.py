"""The process of an embedded cluster's node: everything that lives in it, started and ended together."""

import asyncio
import signal
from collections.abc import Callable, Coroutine

from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.local.node.config import NodeConfig
from isthmus.local.node.context import Context
from isthmus.local.node.diary import Diary
from isthmus.local.node.kubelet import Kubelet
from isthmus.local.node.launcher import Launcher
from isthmus.local.node.registration import keep_registered
from isthmus.local.node.serving import serve_kubelet
from isthmus.local.residents import cluster_names, service_addresses, workloads

Resident = Callable[[Context], Coroutine[object, object, None]]


async def run_pods(context: Context) -> None:
    """Run the cluster's pods, and answer for their logs and terminals."""
    async with Launcher(context.config.addresses) as launcher, asyncio.TaskGroup() as tasks:
        diary = Diary(context)
        kubelet = Kubelet(context, launcher, diary.say)
        tasks.create_task(launcher.wait_lost(), name="spawner")
        tasks.create_task(diary.run(), name="events")
        tasks.create_task(serve_kubelet(context.config.kubelet_socket, kubelet), name="kubelet API")
        tasks.create_task(kubelet.run(), name="kubelet")


# Everything that lives in this process; each runs until it is cancelled.
RESIDENTS: tuple[Resident, ...] = (keep_registered, run_pods, workloads, service_addresses, cluster_names)


async def run(config: NodeConfig, residents: tuple[Resident, ...] = RESIDENTS) -> None:
    """Run all residents until SIGTERM, SIGINT, or the failure of one of them."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(_live(config, residents), name="residents")
        await over.wait()
        living.cancel()


async def _live(config: NodeConfig, residents: tuple[Resident, ...]) -> None:
    async with (
        Client(load_kubeconfig([config.kubeconfig]), user_agent="isthmus-node") as client,
        asyncio.TaskGroup() as tasks,
    ):
        context = Context(config, client, tasks)
        for resident in residents:
            tasks.create_task(resident(context), name=resident.__name__)
