"""Profiles with the hub's own rights, and who else may write them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from isthmus.api.core import EVENTS
from isthmus.api.inventory import CLUSTER_PROFILES
from isthmus.api.isthmus import MEMBERS
from isthmus.api.scheme import Manifest
from isthmus.errors import Refused
from isthmus.install.roles import HUB_USER
from isthmus.inventory.controllers.profiles import profiles
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.testing.waiting import eventually
from tests.install.conftest import BY_HAND, EAST, SET, VIEWER, refused

Act = Callable[[str], Awaitable[Client]]


@pytest.mark.requirement("INV-3", "INV-14", "INV-29")
async def test_the_hub_publishes_with_its_own_rights_and_no_member_does(act: Act, root: Client) -> None:
    hub = await act(HUB_USER)
    # A Member of its own: other tests have others.
    spec: Manifest = {"id": "lone", "set": SET, "server": "http://of.no.use"}
    await root.apply(MEMBERS, {"metadata": {"name": "lone", "namespace": SET}, "spec": spec}, options=BY_HAND)
    members = Informer(hub, MEMBERS, namespace=SET)
    controller, published = profiles(hub, SET, members)
    running = [asyncio.create_task(each.run()) for each in (members, published, controller)]
    try:

        async def pending() -> bool:
            profile = await root.get(CLUSTER_PROFILES, "lone", namespace=SET)
            return profile.status is not None and len(profile.status.conditions) == 2

        await eventually(pending)

        async def told() -> bool:
            events = await root.list(EVENTS, namespace=SET)
            return any(each.reason == "AccessNotPublished" for each in events.items)

        await eventually(told)
        patch = {"spec": {"displayName": "mine"}}
        viewer = await act(VIEWER)

        async def read() -> bool:
            try:
                return bool((await viewer.list(CLUSTER_PROFILES, namespace=SET)).items)
            except Refused:
                return False

        # Roles are gathered a moment later.
        await eventually(read)
        for user in (EAST, VIEWER):
            client = await act(user)
            await refused(client.merge_patch(CLUSTER_PROFILES, "lone", patch, namespace=SET), "cannot patch")
            await refused(client.delete(CLUSTER_PROFILES, "lone", namespace=SET), "cannot delete")
        await root.delete(MEMBERS, "lone", namespace=SET)

        async def gone() -> bool:
            listed = await root.list(CLUSTER_PROFILES, namespace=SET)
            return "lone" not in {item.metadata.name for item in listed.items}

        await eventually(gone)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
