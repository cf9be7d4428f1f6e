"""Asking from a pod of ours in the member, as its other pods would ask: Python alone, which our image has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from isthmus.api.core import PODS
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.errors import Invalid
from isthmus.install.workloads import NAME_LABEL
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.exec import STDERR, STDOUT, Execution, execute

# Seconds for one connection.
_LIMIT: Final = 5
RESOLVE: Final = (
    "import socket, sys\n"
    "print(*sorted({each[4][0] for each in socket.getaddrinfo(sys.argv[1], None, proto=socket.IPPROTO_TCP)}))"
)
CONNECT: Final = f"import socket, sys\nsocket.create_connection((sys.argv[1], int(sys.argv[2])), {_LIMIT}).close()"


@dataclass(frozen=True)
class InPod:
    """One running pod of ours."""

    client: Client
    pod: str

    async def resolve(self, name: str) -> Sequence[str]:
        """What the pod's own resolver says; Invalid where that is an error."""
        code, out, problem = await self._run(RESOLVE, name + ".")
        if code:
            raise Invalid(problem)
        return out.split()

    async def connect(self, address: str, port: int) -> str:
        """Why the pod cannot open a TCP connection; empty if it can."""
        code, _, problem = await self._run(CONNECT, address, str(port))
        return problem if code else ""

    async def _run(self, program: str, *arguments: str) -> tuple[int, str, str]:
        heard: dict[int, bytes] = {STDOUT: b"", STDERR: b""}

        def hear(channel: int, data: bytes) -> None:
            heard[channel] = heard.get(channel, b"") + data

        execution = Execution(self.pod, ("python3", "-c", program, *arguments), SYSTEM_NAMESPACE)
        code = await execute(self.client, execution, output=hear)
        return code, heard[STDOUT].decode(errors="replace"), last_line(heard[STDERR])


async def a_pod(client: Client, part: str) -> InPod | None:
    """A running pod of that part (`isthmus-dns`); None if there is none."""
    options = ListOptions(labels=f"{NAME_LABEL}={part}", fields="status.phase=Running")
    pods = (await client.list(PODS, namespace=SYSTEM_NAMESPACE, options=options)).items
    return InPod(client, str(pods[0]["metadata"]["name"])) if pods else None


def last_line(text: bytes) -> str:
    """What a Python program died of."""
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
