"""All workload controllers of one cluster, run together."""

import asyncio

from isthmus.local.controllers.deployments import Deployments
from isthmus.local.controllers.endpointslices import EndpointSlices
from isthmus.local.controllers.replicasets import ReplicaSets
from isthmus.local.controllers.statefulsets import StatefulSets
from isthmus.local.controllers.surroundings import Surroundings


async def run_controllers(around: Surroundings) -> None:
    """Run them until cancelled."""
    kinds = (Deployments, ReplicaSets, StatefulSets, EndpointSlices)
    async with asyncio.TaskGroup() as tasks:
        for kind in kinds:
            controller = kind(around).controller()
            tasks.create_task(controller.run(), name=f"controller {controller.name}")
