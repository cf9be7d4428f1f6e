"""The importers of `bench.importers`, some in one process: real agents, each beside an embedded API server."""

import asyncio
import json
import logging
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import uvloop

from bench.floor import EXPORTED, FLOOR_IMPORT, FLOOR_NAMESPACE, SERVICE, SLICE, define
from bench.real import NAMESPACE, SET, follow, make_namespace
from isthmus.agent.agent import Duty
from isthmus.agent.app import serve
from isthmus.api.scheme import Manifest
from isthmus.hub.bootstrap import bootstrap_member
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.testing import objects
from isthmus.testing.cluster import EmbeddedHost


def names(first: int, count: int) -> list[str]:
    """What some of them are called."""
    return [f"importer-{number}" for number in range(first, first + count)]


class _Importers:
    """Some importers in one process."""

    def __init__(self, hub: Path, folder: Path, first: int, count: int) -> None:
        self._hub = load_kubeconfig([hub])
        self._folder = folder
        self._names = names(first, count)
        self._arrived: dict[str, dict[str, float]] = {}

    async def run(self) -> None:
        """Work until killed."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            for number, name in enumerate(self._names):
                host = EmbeddedHost(name, self._folder, number + 1)
                await host.start()
                stack.push_async_callback(host.stop)
                member = await stack.enter_async_context(Client(load_kubeconfig([host.kubeconfig])))
                hub = await stack.enter_async_context(Client(self._hub))
                await bootstrap_member(member)
                await define(member)
                for namespace in (NAMESPACE, FLOOR_NAMESPACE):
                    await make_namespace(member, namespace)
                    tasks.create_task(follow(member, SLICE, namespace, partial(self._told, name)))
                tasks.create_task(follow(hub, EXPORTED, FLOOR_NAMESPACE, _Floor(member).carry))
                tasks.create_task(serve(Duty(name, SET, name), member=member, hub=hub))

    async def _told(self, name: str, _: str, item: Manifest) -> None:
        now = time.monotonic()
        for endpoint in item["endpoints"] or ():
            address = endpoint["addresses"][0]
            arrived = self._arrived.setdefault(address, {})
            arrived.setdefault(name, now)
            if len(arrived) == len(self._names):
                del self._arrived[address]
                sys.stdout.write(json.dumps({"address": address, "at": [*arrived.values()]}) + "\n")
                sys.stdout.flush()


class _Floor:
    """The floor's writes to an importer, when the hub's watch shows a change: what any design must write."""

    def __init__(self, member: Client) -> None:
        self._member = member
        self._written: dict[str, Manifest] = {}

    async def carry(self, _: str, exported: Manifest) -> None:
        """Import what is new; of what is there, change the slice."""
        name, endpoints = exported["spec"]["name"], exported["spec"]["slices"][0]["endpoints"]
        wanted = objects.endpoints(FLOOR_NAMESPACE, name, [each["addresses"][0] for each in endpoints])
        if name in self._written:
            changed = self._written[name] | {"endpoints": wanted["endpoints"]}
            self._written[name] = await self._member.update(SLICE, changed)
            return
        # What belongs to the import has its UID.
        owner = await self._member.create(FLOOR_IMPORT, _import(exported))
        service = objects.service(FLOOR_NAMESPACE, name)
        for item in (service, wanted):
            item["metadata"] |= {"ownerReferences": [_reference(owner)]}
        made = await asyncio.gather(self._member.create(SERVICE, service), self._member.create(SLICE, wanted))
        self._written[name] = made[1]


def _import(exported: Manifest) -> Manifest:
    ports = [{"name": each["name"], "port": each["port"], "protocol": "TCP"} for each in exported["spec"]["ports"]]
    return {
        "apiVersion": FLOOR_IMPORT.api_version,
        "kind": FLOOR_IMPORT.kind,
        "metadata": {"namespace": FLOOR_NAMESPACE, "name": exported["spec"]["name"]},
        "spec": {"type": "ClusterSetIP", "ports": ports, "ips": []},
    }


def _reference(owner: Manifest) -> Manifest:
    of = {key: owner["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True, **of}


if __name__ == "__main__":
    logging.disable()
    uvloop.run(_Importers(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])).run())
