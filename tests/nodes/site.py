"""A cluster with pods, as a test uses it: commands inside pods, and what the network answers there."""

from collections import Counter
from pathlib import Path
from typing import Self

from isthmus.api.core import PODS, SERVICES
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Refused
from isthmus.kube.exec import STDOUT, Execution, execute
from isthmus.testing.cluster import BY_HAND, TestCluster
from isthmus.testing.waiting import WITHIN, eventually
from tests.nodes import pods
from tests.real.node import NodeCluster

CLIENT = "client"
NOBODY = "-"
POD_LIMIT = 60.0
WHOLE_SERVICES: Resource[Manifest] = Resource("", "v1", "services", "Service", dict)


class NodeHost:
    """A node cluster of the session. What is installed there stays when a test is done with it."""

    shared = False

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    async def start(self) -> None:
        """It runs already."""

    async def stop(self) -> None:
        """It goes on."""


class Site(TestCluster):
    """One node cluster; `async with` gives it a client."""

    def __init__(self, node: NodeCluster) -> None:
        super().__init__(node.name, NodeHost(node.kubeconfig))
        self.node = node

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def make(self, namespace: str, *manifests: Manifest) -> None:
        """Make pods, and wait until all are ready."""
        for manifest in manifests:
            await self.client.apply(PODS, manifest, namespace=namespace, options=BY_HAND)
        for manifest in manifests:
            await self.wait_pod(namespace, manifest["metadata"]["name"])

    async def wait_pod(self, namespace: str, name: str) -> Manifest:
        """The pod, once it is ready."""

        async def check() -> Manifest | None:
            found = await self.client.get(PODS, name, namespace=namespace)
            conditions = found.get("status", {}).get("conditions", ())
            return found if any((each["type"], each["status"]) == ("Ready", "True") for each in conditions) else None

        return await eventually(check, within=POD_LIMIT, what=f"pod {name} ready in {self.name}")

    async def pod_addresses(self, namespace: str, name: str) -> list[str]:
        """The addresses of a pod that is ready, IPv4 first."""
        found = await self.wait_pod(namespace, name)
        return [each["ip"] for each in found["status"]["podIPs"]]

    async def offer(self, namespace: str, name: str, **fields: object) -> Manifest:
        """A Service in front of the cluster's pods, as it is in the API server."""
        manifest = pods.service(namespace, name, **fields)
        return await self.client.apply(WHOLE_SERVICES, manifest, namespace=namespace, options=BY_HAND)

    async def withdraw(self, namespace: str, name: str) -> None:
        """Delete a Service."""
        await self.client.delete(SERVICES, name, namespace=namespace)

    async def run(self, namespace: str, pod: str, *command: str) -> tuple[int, str]:
        """A command's exit code and what it wrote to stdout."""
        wrote: list[bytes] = []

        def output(channel: int, data: bytes) -> None:
            if channel == STDOUT:
                wrote.append(data)

        code = await execute(self.client, Execution(pod, command, namespace), output=output)
        return code, b"".join(wrote).decode()

    async def ask(self, namespace: str, host: str, port: int, *, udp: bool = False, times: int = 1) -> Counter[str]:
        """Who answered how often, asked from the pod `client`; NOBODY where there was no answer."""
        words = ["python3", "-c", pods.ASKS, "udp" if udp else "tcp", host, str(port), str(times)]
        _, said = await self.run(namespace, CLIENT, *words)
        return Counter(said.split())

    async def wait_answers(
        self, namespace: str, host: str, port: int, wanted: set[str], *, udp: bool = False, within: float = WITHIN
    ) -> None:
        """Return once exactly these pods answer, each of them, and no question goes unanswered."""
        # Silence takes its time, and answers are told apart only by asking often.
        times = 2 if wanted == {NOBODY} else 6 * len(wanted)

        async def check() -> bool:
            return set(await self.ask(namespace, host, port, udp=udp, times=times)) == wanted

        await eventually(check, within=within, what=f"{host} answered in {self.name} by {sorted(wanted)}")

    async def look_up(self, namespace: str, name: str, kind: str = "A") -> set[str]:
        """What a pod's stock resolver is told of a name: the data of all records, in lines of their own."""
        code, said = await self.run(namespace, CLIENT, "dig", "+short", "+timeout=2", "+tries=2", kind, f"{name}.")
        if code:
            raise Refused(code=code, reason="dig", message=said)
        return set(said.split("\n")) - {""}

    async def wait_names(self, namespace: str, name: str, wanted: set[str], *, kind: str = "A") -> None:
        """Return once a name has exactly these records."""
        last: set[str] = set()

        async def check() -> bool:
            nonlocal last
            last = await self.look_up(namespace, name, kind)
            return last == wanted

        try:
            await eventually(check)
        except AssertionError as problem:
            raise AssertionError(f"{kind} of {name} in {self.name}: wanted {wanted}, got {last}") from problem
