"""A hub's tunnel, a member whose API server nobody else reaches, and a consumer of it in a pod of the hub's cluster."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from isthmus.api.access import ROLE_BINDINGS, ROLES
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import NAMESPACES, PODS, SECRETS, SERVICES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.install.grant import Grant, grant, revoke
from isthmus.install.hub import LET_IN, TUNNEL
from isthmus.install.kinds import NETWORK_POLICIES, whole
from isthmus.install.workloads import NAME_LABEL
from isthmus.kube.client import ListOptions
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually
from tests.nodes import pods
from tests.nodes.installed import SET, isthmus
from tests.nodes.site import CLIENT, WHOLE_SERVICES, Site
from tests.real.images import IMAGE
from tests.real.layout import PORT

CONSUMER = "consumer"
AGENTS = "tunnel-agents"
BACK_WITHIN = 60.0
LISTS = """
import asyncio, json, pathlib, sys
from isthmus.api.core import CONFIG_MAPS
from isthmus.api.inventory import CLUSTER_PROFILES
from isthmus.inventory import client_for, read_providers
from isthmus.kube.client import Client
from isthmus.kube.config import in_cluster

async def main(cluster_set, member, namespace):
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "isthmus", "provideClusterInfo": True}
    plugin["args"] = ["credential", "secretreader"]
    file = pathlib.Path("/tmp/providers.json")
    file.write_text(json.dumps({"providers": [{"name": "secretreader", "execConfig": plugin}]}))
    async with Client(in_cluster()) as hub:
        profile = await hub.get(CLUSTER_PROFILES, member, namespace=cluster_set)
    async with client_for(profile, read_providers(file)) as cluster:
        listed = await cluster.list(CONFIG_MAPS, namespace=namespace)
    print(json.dumps([item["metadata"]["name"] for item in listed.items]))

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Tunnel:
    """Where agents dial in, and what a consumer in that namespace of the hub's cluster sees of the member."""

    hub: Site
    member: Site
    namespace: str
    url: str

    @property
    def server(self) -> str:
        """The member's API server."""
        return self.member.node.layout.server

    async def is_reached(self) -> bool:
        """Whether the consumer reaches it directly."""
        code, _ = await self.hub.run(
            self.namespace, CLIENT, "curl", "-sk", "--max-time", "1", "-o", "/dev/null", self.server
        )
        return code == 0

    async def status(self) -> int:
        """What the proxy server answers to a CONNECT for it."""
        proxy = f"http://{self.member.name}@{TUNNEL}.{SYSTEM_NAMESPACE}.svc:8132"
        words = ("-sk", "--max-time", "15", "-o", "/dev/null", "-w", "%{http_connect}", "-x", proxy)
        _, said = await self.hub.run(self.namespace, CLIENT, "curl", *words, self.server)
        return int(said)

    async def wait_status(self, wanted: int) -> None:
        """Until it answers so."""

        async def answers() -> bool:
            return await self.status() == wanted

        await eventually(answers, within=BACK_WITHIN, what=f"CONNECT for {self.member.name} is answered with {wanted}")

    async def wait_listed(self, name: str) -> None:
        """Until the consumer, by the member's profile and a plugin, lists that ConfigMap."""
        words = ("python3", "-c", LISTS, SET, self.member.name, self.namespace)

        async def listed() -> bool:
            code, said = await self.hub.run(self.namespace, CONSUMER, *words)
            return code == 0 and name in json.loads(said)

        await eventually(listed, within=BACK_WITHIN, what=f"the consumer lists {name}")

    async def admit(self) -> None:
        """What the member's admin does for the consumer."""
        await grant(self.member.client, self.hub.client, self._grant)

    async def end(self) -> None:
        """What both admins take back."""
        await revoke(self.member.client, self.hub.client, self._grant)
        labels = {"metadata": {"labels": dict.fromkeys(LET_IN)}}
        await self.hub.client.merge_patch(NAMESPACES, self.namespace, labels)

    @property
    def _grant(self) -> Grant:
        return Grant(self.member.name, self.namespace, role="view")

    async def delete_agents(self) -> None:
        """All of them, and return once they are gone."""
        options = ListOptions(labels=f"{NAME_LABEL}=isthmus-agent")
        client = self.member.client

        async def there() -> set[str]:
            found = await client.list(PODS, namespace=SYSTEM_NAMESPACE, options=options)
            return {each["metadata"]["uid"] for each in found.items}

        former = await there()
        await client.delete_collection(PODS, namespace=SYSTEM_NAMESPACE, options=options)

        async def are_gone() -> bool:
            return not former & await there()

        await eventually(are_gone, within=BACK_WITHIN, what="the agents' pods are gone")


@asynccontextmanager
async def tunnelled(hub: Site, member: Site, namespace: str) -> AsyncIterator[Tunnel]:
    """The hub has a tunnel, the member accepts no connection from the hub's cluster, and that namespace a consumer."""
    pki = hub.node.layout.pki
    pair = {f"tls.{kind}": (pki / f"server.{kind}").read_text() for kind in ("crt", "key")}
    secret = {"metadata": {"name": TUNNEL}, "type": "kubernetes.io/tls", "stringData": pair}
    ports = [{"port": 8133, "protocol": "TCP"}]
    outside = {"type": "NodePort", "selector": {NAME_LABEL: TUNNEL}, "ports": ports}
    exposed: Manifest = {"metadata": {"name": AGENTS}, "spec": outside}
    try:
        await hub.client.apply(SECRETS, secret, namespace=SYSTEM_NAMESPACE, options=BY_HAND)
        made = await hub.client.apply(WHOLE_SERVICES, exposed, namespace=SYSTEM_NAMESPACE, options=BY_HAND)
        url = f"https://{hub.node.node_ip[0]}:{made['spec']['ports'][0]['nodePort']}"
        tunnel = Tunnel(hub, member, namespace, url)
        async with asyncio.TaskGroup() as tasks:
            words = ("install", "hub", f"--set={SET}", f"--image={IMAGE}", "--tunnel")
            tasks.create_task(asyncio.to_thread(isthmus, hub.node, *words), name="hub")
            tasks.create_task(_consumer(hub, namespace), name="consumer")
        assert await tunnel.is_reached()
        _close(member, hub)
        assert not await tunnel.is_reached()
        try:
            yield tunnel
        finally:
            await tunnel.end()
    finally:
        _close(member, hub, closed=False)
        for kind in (whole(DEPLOYMENTS), NETWORK_POLICIES, WHOLE_SERVICES, SECRETS):
            with suppress(NotFound):
                await hub.client.delete(kind, TUNNEL, namespace=SYSTEM_NAMESPACE)
        with suppress(NotFound):
            await hub.client.delete(SERVICES, AGENTS, namespace=SYSTEM_NAMESPACE)
        isthmus(hub.node, "install", "hub", f"--set={SET}", f"--image={IMAGE}", "--no-wait")


async def _consumer(hub: Site, namespace: str) -> None:
    """A pod that may read the inventory, and Secrets where it is."""
    await hub.client.merge_patch(NAMESPACES, namespace, {"metadata": {"labels": LET_IN}})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    role: Manifest = {"metadata": {"name": CONSUMER}, "rules": rules}
    await hub.client.apply(ROLES, role, namespace=namespace, options=BY_HAND)
    for where, kind, name in ((namespace, "Role", CONSUMER), (SET, "ClusterRole", "isthmus-inventory-view")):
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        binding: Manifest = {"metadata": {"name": CONSUMER}, "subjects": [subject], "roleRef": ref}
        await hub.client.apply(ROLE_BINDINGS, binding, namespace=where, options=BY_HAND)
    manifest = pods.asking(namespace, CONSUMER)
    manifest["spec"]["containers"][0]["image"] = IMAGE
    await hub.make(namespace, manifest)


def _close(member: Site, hub: Site, *, closed: bool = True) -> None:
    """Whether the member's node drops what comes from the hub's cluster to its API server."""
    for family, program in enumerate(("iptables", "ip6tables")):
        sources = f"{hub.node.node_ip[family]},{hub.node.pod_ranges[family]}"
        rule = ("INPUT", "-p", "tcp", "--dport", str(PORT), "-s", sources, "-j", "DROP")
        done = member.node.inside(program, "--wait", "-I" if closed else "-D", *rule)
        assert done.returncode == 0 or not closed, done.stderr.decode()
