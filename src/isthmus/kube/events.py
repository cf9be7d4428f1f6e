"""Events: what Isthmus tells people about an object, where `kubectl describe` shows it."""

import hashlib
import logging
from collections import OrderedDict
from typing import Final

from isthmus import errors
from isthmus.api.core import EVENTS, ObjectReference
from isthmus.api.meta import Object
from isthmus.api.scheme import Manifest
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client

log = logging.getLogger(__name__)

# How many different events are remembered, to count their repeats.
REMEMBERED: Final = 1000
# Kubernetes' limits: of a name, of a message.
MAX_NAME: Final = 253
MAX_MESSAGE: Final = 1024


class Recorder:
    """Writes Events in the name of one component; the same again is counted, not written anew."""

    def __init__(self, client: Client, component: str, clock: Clock = SYSTEM) -> None:
        self._client = client
        self._component = component
        self._clock = clock
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def emit(self, about: Object | ObjectReference, *, type: str, reason: str, message: str) -> None:  # noqa: A002  # Kubernetes' word
        """Tell; `type` is Normal or Warning. Never raises for what the server does: nothing depends on it."""
        subject = reference(about) if isinstance(about, Object) else about
        event = {
            "involvedObject": _set_fields(subject),
            "type": type,
            "reason": reason,
            "message": message[:MAX_MESSAGE],
        }
        name = self._name(subject, event)
        namespace = subject.namespace or "default"
        try:
            await self._write(name, namespace, event)
        except errors.IsthmusError as problem:
            log.warning("event not written", extra={"reason": reason, "problem": str(problem)})

    async def _write(self, name: str, namespace: str, event: Manifest) -> None:
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        count = self._counted(name)
        if count > 1:
            try:
                repeat = {"count": count, "lastTimestamp": now, "message": event["message"]}
                await self._client.merge_patch(EVENTS, name, repeat, namespace=namespace)
            except errors.NotFound:
                # Events are forgotten after an hour.
                self._counts[name] = 1
            else:
                return
        facts = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._client.create(EVENTS, facts | event, namespace=namespace)
        except errors.Conflict:
            # We told it before, in an earlier life.
            known = await self._client.get(EVENTS, name, namespace=namespace)
            self._counts[name] = known.count + 1
            repeat = {"count": known.count + 1, "lastTimestamp": now}
            await self._client.merge_patch(EVENTS, name, repeat, namespace=namespace)

    def _counted(self, name: str) -> int:
        self._counts[name] = count = self._counts.pop(name, 0) + 1
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return count

    def _name(self, subject: ObjectReference, event: Manifest) -> str:
        # The same event has the same name, so that who restarts goes on counting.
        facts = (self._component, subject.kind, subject.namespace, subject.name, subject.uid)
        told = (event["type"], event["reason"], event["message"])
        digest = hashlib.sha256("\0".join((*facts, *told)).encode()).hexdigest()[:16]
        return f"{subject.name[: MAX_NAME - 17].rstrip('.-')}.{digest}"


def reference(about: Object) -> ObjectReference:
    """What points to an object."""
    return ObjectReference(
        api_version=about.api_version,
        kind=about.kind,
        namespace=about.metadata.namespace,
        name=about.metadata.name,
        uid=about.metadata.uid,
        resource_version=about.metadata.resource_version,
    )


def _set_fields(subject: ObjectReference) -> Manifest:
    fields = {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        "uid": subject.uid,
        "resourceVersion": subject.resource_version,
        "fieldPath": subject.field_path,
    }
    return {name: value for name, value in fields.items() if value}
