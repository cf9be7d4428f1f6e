"""Events about pods, written in the background and in order; what repeats is counted."""

import asyncio
import logging
from dataclasses import dataclass

from isthmus.api.core import EVENTS
from isthmus.api.scheme import Manifest
from isthmus.errors import IsthmusError
from isthmus.kit.names import digest
from isthmus.kube.client import WriteOptions
from isthmus.local.node.context import Context
from isthmus.local.node.podspec import Pod
from isthmus.local.node.states import stamp

log = logging.getLogger(__name__)

_MOST_WAITING = 1000
_LONGEST_MESSAGE = 1024
_MOST_COUNTED = 5000
MANAGER = WriteOptions(manager="isthmus-node", force=True)


@dataclass(frozen=True)
class Entry:
    """One thing that happened to a pod."""

    pod: Pod
    kind: str
    reason: str
    message: str


class Diary:
    """Takes entries at any time; `run` writes them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: asyncio.Queue[Entry] = asyncio.Queue(_MOST_WAITING)
        self._counts: dict[str, tuple[int, str]] = {}

    def say(self, pod: Pod, kind: str, reason: str, message: str) -> None:
        """Note an event of type `kind` (Normal or Warning) about a pod; beyond a bound, entries are dropped."""
        facts = {"pod": f"{pod.metadata.namespace}/{pod.metadata.name}", "reason": reason, "said": message}
        log.info("pod event", extra=facts)
        if not self._waiting.full():
            self._waiting.put_nowait(Entry(pod, kind, reason, message[:_LONGEST_MESSAGE]))

    async def run(self) -> None:
        """Write events until cancelled; one that the server does not take is dropped."""
        while True:
            entry = await self._waiting.get()
            event = self._event(entry)
            try:
                await self._context.client.apply(EVENTS, event, options=MANAGER)
            except IsthmusError as error:
                log.warning("event not written", extra={"reason": entry.reason, "error": str(error)})

    def _event(self, entry: Entry) -> Manifest:
        metadata = entry.pod.metadata
        name = f"{metadata.name[:200]}.{digest(metadata.uid, entry.reason, entry.message)[:16]}"
        now = stamp(self._context.clock.now())
        if len(self._counts) > _MOST_COUNTED:
            self._counts.clear()
        count, first = self._counts.get(name, (0, now))
        self._counts[name] = (count + 1, first)
        reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid}
        return {
            "metadata": {"name": name, "namespace": metadata.namespace},
            "involvedObject": reference | {"namespace": metadata.namespace},
            "type": entry.kind,
            "reason": entry.reason,
            "message": entry.message,
            "count": count + 1,
            "firstTimestamp": first,
            "lastTimestamp": now,
            "source": {"component": "isthmus-node", "host": self._context.config.node_name},
            "reportingComponent": "isthmus-node",
        }
