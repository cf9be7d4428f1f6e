"""One embedded cluster of a set: its API server first, what lives in it after."""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from isthmus.api.core import NODES
from isthmus.api.scheme import Manifest
from isthmus.apiserver.pki import PKI
from isthmus.errors import IsthmusError, Unreachable
from isthmus.hub.bootstrap import NewMember, bootstrap_hub, bootstrap_member
from isthmus.install.manifests import apply
from isthmus.install.policies import hub_policies, member_policies
from isthmus.install.roles import AGENT_USER, DNS_USER, HUB_USER, hub_roles, inventory_role, member_user
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.local.addresses import HUB as HUB_ADDRESSES
from isthmus.local.addresses import ClusterAddresses
from isthmus.local.forkserver import Program
from isthmus.local.membership import HUB_TOKEN, membership
from isthmus.local.network import NodeNetwork, SetNetwork
from isthmus.local.state import HUB, SetFiles, SetRecord, write_private
from isthmus.local.units import Keeper, Unit, wait_until

log = logging.getLogger(__name__)

API_SERVER, NODE, ISTHMUS = "isthmus.apiserver.__main__", "isthmus.local.node.__main__", "isthmus.cli.main"
# What those load, the last of them only for the subcommand it is given.
PROGRAMS = (API_SERVER, NODE, ISTHMUS, "isthmus.cli.hub", "isthmus.cli.agent", "isthmus.cli.dns")
API_PORT = 6443
# May do everything.
ADMINS = "system:masters"
READY_LIMIT = 90.0
SILENT_AFTER_BEATS = 3
Say = Callable[[str], None]


class Cluster:
    """The processes of one cluster, or of the hub, which has neither node nor agent."""

    def __init__(
        self,
        files: SetFiles,
        name: str,
        record: SetRecord,
        listener: socket.socket,
        keep: Callable[[Unit], Keeper],
    ) -> None:
        self.name = name
        self.keepers: dict[str, Keeper] = {}
        self._files = files
        self._folder = files.cluster(name)
        self._record = record
        self._own = record.clusters[name]
        # Held open here while the API server starts again: callers wait instead of being refused.
        self._listeners = [listener]
        self._keep = keep
        self._network: SetNetwork | None = None
        self._node: NodeNetwork | None = None

    async def start(self, network: SetNetwork | None, *, hub_runs: bool, say: Say) -> None:
        """Start all processes; return once the API server answers and knows our kinds.

        A member is registered at the hub if `hub_runs`; one that was registered before can do without.
        Raises IsthmusError where a step fails; `end` then takes back what was begun.
        """
        say(f"starting {self.name}")
        node = await network.add_node(self._own.number) if network and self.name != HUB else None
        self._network, self._node = (network, node) if node else (None, None)
        if node:
            self._listeners += [node.listen(address, API_PORT) for address in node.addresses.node]
        elif network:
            self._listeners += [_listening(address) for address in HUB_ADDRESSES]
        pki = self._credentials()
        self._run("apiserver", self._api_server(pki))
        async with Client(load_kubeconfig([self._kubeconfig("admin", pki, "admin", ADMINS)])) as client:
            await self._wait("apiserver", lambda: _answers(client))
            if self.name == HUB:
                await bootstrap_hub(client, self._files.name, ())
                await apply(client, (*hub_roles(self._files.name), inventory_role(), *hub_policies()))
                self._run("hub", self._hub(pki))
            else:
                if node:
                    self._run("node", (NODE, "--config", str(self._node_config(pki))), node)
                if self._own.joined:
                    await self._be_member(client, hub_runs=hub_runs)
                    self._employ(pki, node)
            if node:
                await self._wait("node", lambda: _has_node(client))
        say(f"{self.name} runs")

    async def _wait(self, unit: str, ready: Callable[[], Awaitable[bool]]) -> None:
        await wait_until(ready, what=f"{self.name}/{unit} (its log: {self._log(unit)})", limit=READY_LIMIT)

    def _log(self, unit: str) -> Path:
        return self._folder / "logs" / f"{unit}.log"

    async def _be_member(self, client: Client, *, hub_runs: bool) -> None:
        # Who joined by hand has all that a member needs, with the marks by which it will be taken away.
        if membership(self._folder) is not None:
            return
        uid = await bootstrap_member(client)
        await apply(client, member_policies())
        if hub_runs:
            await self._register(uid)

    async def _register(self, uid: str) -> None:
        ranges = ClusterAddresses(self._own.number).pod_ranges
        config = self._files.cluster(HUB) / "admin.kubeconfig"
        async with Client(load_kubeconfig([config])) as hub:
            await bootstrap_hub(hub, self._files.name, [NewMember(self.name, uid, ranges)])

    async def employ(self) -> None:
        """Start the agent and the DNS server, anew where they run, with what the cluster holds for its hub now."""
        await self.dismiss()
        self._employ(PKI.load(self._folder / "pki", self.name), self._node)

    async def dismiss(self) -> None:
        """End the agent and the DNS server."""
        gone = [self.keepers.pop(unit) for unit in ("agent", "dns") if unit in self.keepers]
        await asyncio.gather(*(keeper.end() for keeper in gone))

    def _employ(self, pki: PKI, node: NodeNetwork | None) -> None:
        at_home = self._kubeconfig("isthmus-agent", pki, AGENT_USER)
        cluster, cluster_set, at_hub = self._at_hub(node)
        arguments = ["agent", f"--hub-kubeconfig={at_hub}", f"--kubeconfig={at_home}", f"--cluster={cluster}"]
        arguments += [f"--set={cluster_set}", f"--heartbeat={self._record.heartbeat}"]
        if node:
            dns = [f"--listen={address}" for address in node.addresses.isthmus_dns]
            reader = self._kubeconfig("isthmus-dns", pki, DNS_USER)
            self._run("dns", (ISTHMUS, "dns", f"--kubeconfig={reader}", *dns), node)
        self._run("agent", (ISTHMUS, *arguments), node)

    def _at_hub(self, node: NodeNetwork | None) -> tuple[str, str, Path]:
        """Who the agent is, in which set, and the kubeconfig for that: by a token if it joined by hand."""
        inside = f"https://{HUB_ADDRESSES[0]}:{API_PORT}" if node else self._outside(HUB)
        held = membership(self._folder)
        if held is None:
            hub = PKI.load(self._files.cluster(HUB) / "pki", HUB)
            path = self._write("agent-hub", hub.client_config(inside, member_user(self.name)))
            return self.name, self._files.name, path
        path = self._folder / "agent-hub.kubeconfig"
        # What people reach by 127.0.0.1 has another address inside.
        reached = replace(held, server=inside) if held.server == self._outside(HUB) else held
        write_private(path, reached.kubeconfig(HUB_TOKEN))
        return held.cluster, held.set, path

    async def end(self) -> None:
        """End all processes, the API server last, and close the doors."""
        others = [keeper for unit, keeper in self.keepers.items() if unit != "apiserver"]
        await asyncio.gather(*(keeper.end() for keeper in others))
        if "apiserver" in self.keepers:
            await self.keepers["apiserver"].end()
        self.keepers.clear()
        for listener in self._listeners:
            listener.close()
        if self._network:
            await self._network.remove_node(self._own.number)
            self._network = None

    def _run(self, unit: str, argv: tuple[str, ...], node: NodeNetwork | None = None) -> None:
        descriptors = tuple(each.fileno() for each in self._listeners) if unit == "apiserver" else ()
        program = Program(argv, descriptors, node.namespace if node else None)
        self.keepers[unit] = self._keep(Unit(f"{self.name}/{unit}", self.name, program, self._log(unit)))

    def _inside(self) -> str:
        """Where this cluster's processes reach its API server."""
        if len(self._listeners) == 1:
            return self._outside(self.name)
        address = HUB_ADDRESSES[0] if self.name == HUB else ClusterAddresses(self._own.number).node[0]
        return f"https://{address}:{API_PORT}"

    def _outside(self, name: str) -> str:
        return f"https://127.0.0.1:{self._record.clusters[name].port}"

    def _credentials(self) -> PKI:
        addresses = ClusterAddresses(self._own.number)
        own = HUB_ADDRESSES if self.name == HUB else (*addresses.node, *addresses.kubernetes)
        pki = PKI.create(self._folder / "pki", self.name, ["127.0.0.1", *own])
        admin = pki.client_config(self._outside(self.name), "admin", [ADMINS])
        _add_context(self._files, self.name, admin)
        return pki

    def _kubeconfig(self, name: str, pki: PKI, user: str, *groups: str) -> Path:
        return self._write(name, pki.client_config(self._inside(), user, groups))

    def _write(self, name: str, config: Manifest) -> Path:
        path = self._folder / f"{name}.kubeconfig"
        write_private(path, yaml.safe_dump(config))
        return path

    def _api_server(self, pki: PKI) -> tuple[str, ...]:
        addresses = ClusterAddresses(self._own.number)
        options = {
            "name": self.name,
            "state": str(self._folder / "state.db"),
            "service_ranges": addresses.service_ranges,
            "pod_ranges": addresses.pod_ranges,
            "kubelet_socket": str(self._files.kubelet_socket(self.name)),
            "pki": str(pki.folder),
            "advertised": [[HUB_ADDRESSES[0] if self.name == HUB else addresses.node[0], API_PORT]],
            "listeners": [listener.fileno() for listener in self._listeners],
        }
        return API_SERVER, "--config", str(self._json("apiserver", options))

    def _hub(self, pki: PKI) -> tuple[str, ...]:
        config = self._kubeconfig("isthmus-hub", pki, HUB_USER)
        silent_after = SILENT_AFTER_BEATS * self._record.heartbeat
        return ISTHMUS, "hub", f"--kubeconfig={config}", f"--set={self._files.name}", f"--silent-after={silent_after}"

    def _node_config(self, pki: PKI) -> Path:
        config = {
            "cluster": self.name,
            "number": self._own.number,
            # One process plays kubelet, kube-proxy and kube-controller-manager.
            "kubeconfig": str(self._kubeconfig("node", pki, f"system:node:{self.name}-node", "system:nodes", ADMINS)),
            "state": str(self._folder),
            "kubelet_socket": str(self._files.kubelet_socket(self.name)),
            "zone": f"{self.name}-1",
            "region": self.name,
            "labels": {},
            "dns_upstream": self._record.dns_upstream,
        }
        return self._json("node", config)

    def _json(self, name: str, content: Mapping[str, object]) -> Path:
        path = self._folder / f"{name}.json"
        write_private(path, json.dumps(content, indent=2))
        return path


def _listening(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, API_PORT), family=family, backlog=512)


async def _answers(client: Client) -> bool:
    try:
        await client.raw("GET", "/readyz")
    except Unreachable:
        return False
    except IsthmusError as error:
        log.info("not ready yet", extra={"error": str(error)})
        return False
    return True


async def _has_node(client: Client) -> bool:
    nodes = (await client.list(NODES)).items
    return any(each.type == "Ready" and each.status == "True" for node in nodes for each in node.status.conditions)


def _add_context(files: SetFiles, name: str, config: Manifest) -> None:
    """Put one cluster into the set's kubeconfig; its context, cluster and user have its name."""
    merged: Manifest = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    if files.kubeconfig.exists():
        merged |= yaml.safe_load(files.kubeconfig.read_text())
    for part in ("clusters", "users", "contexts"):
        merged[part] = [entry for entry in merged[part] if entry["name"] != name] + config[part]
    if merged.get("current-context", HUB) == HUB:
        merged["current-context"] = name
    write_private(files.kubeconfig, yaml.safe_dump(merged))
