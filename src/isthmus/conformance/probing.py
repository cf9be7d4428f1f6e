"""Asking from inside a cluster: TCP, UDP and DNS questions, put by a pod there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from isthmus.conformance.declared import Hindered
from isthmus.conformance.manifests import PORT, asking
from isthmus.errors import Unreachable
from isthmus.kube.client import Client
from isthmus.kube.exec import STDOUT, Execution, execute

# What one run of the program may take, in seconds, besides its questions.
_RUN = 20.0


@dataclass(frozen=True)
class Traffic:
    """A question to a host: `do` is tcp or udp, `family` "", IPv4 or IPv6; asked `count` times in a row."""

    host: str
    do: str = "tcp"
    port: int = PORT
    family: str = ""
    count: int = 1


@dataclass(frozen=True)
class Lookup:
    """A DNS question."""

    name: str
    type: str = "A"
    do: str = "dns"


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record: `value` is the address, text or target."""

    value: str
    ttl: int = 0
    port: int = 0
    priority: int = 0
    weight: int = 0


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the name server said; `rcode` -1 where it said nothing."""

    rcode: int
    records: tuple[Record, ...] = ()
    error: str = ""

    @property
    def values(self) -> list[str]:
        """What the records say, in order."""
        return sorted(record.value for record in self.records)


class Prober:
    """The asking pod of one cluster, and the node it is on."""

    def __init__(self, client: Client, namespace: str, pod: str, *, node: str) -> None:
        self.node = node
        self._client = client
        self._namespace = namespace
        self._pod = pod

    async def traffic(self, question: Traffic) -> list[str]:
        """What was answered, try by try; what went wrong begins with `error`."""
        (said,) = await self._ask([question], question.count)
        return msgspec.convert(said, list[str])

    async def lookups(self, questions: Sequence[Lookup]) -> list[Reply]:
        """The replies, in order."""
        said = await self._ask(questions, len(questions))
        return [msgspec.convert(each, list[Reply])[0] for each in said]

    async def _ask(self, questions: Sequence[Traffic] | Sequence[Lookup], tries: int) -> list[object]:
        out: list[bytes] = []
        errors: list[bytes] = []
        command = asking(msgspec.json.encode([_strings(each) for each in questions]).decode())
        execution = Execution(self._pod, command, namespace=self._namespace)
        try:
            async with asyncio.timeout(_RUN + 4 * tries):
                code = await execute(
                    self._client, execution, output=lambda k, data: (out if k == STDOUT else errors).append(data)
                )
        except TimeoutError as problem:
            raise Unreachable(f"pod {self._namespace}/{self._pod} did not finish asking") from problem
        if code:
            raise Hindered(f"the asking program ended with {code}: {b''.join(errors)[-300:].decode(errors='replace')}")
        return msgspec.json.decode(b"".join(out), type=list[object])


def _strings(question: Traffic | Lookup) -> dict[str, str]:
    return {key: str(value) for key, value in vars(question).items()}
