"""Events where people look for them, counted instead of repeated."""

import logging

import pytest

from isthmus.api import core
from isthmus.api.core import ObjectReference
from isthmus.kube.client import Client
from isthmus.kube.config import Config
from isthmus.kube.events import Recorder
from tests.kube.scripted import Scripted, status


def service(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], "selector": {"app": name}},
    }


async def test_an_event_is_told_once_and_then_counted(client: Client, namespace: str) -> None:
    about = await client.create(core.SERVICES, service("shop"), namespace=namespace)
    recorder = Recorder(client, "isthmus-agent")
    for _ in range(3):
        await recorder.emit(about, type="Normal", reason="Exported", message="exported to the set")
    await recorder.emit(about, type="Warning", reason="Conflict", message="x" * 5000)
    events = (await client.list(core.EVENTS, namespace=namespace)).items
    told = {event.reason: event for event in events}
    assert set(told) == {"Exported", "Conflict"}
    assert told["Exported"].count == 3
    assert told["Exported"].involved_object.uid == about.metadata.uid
    assert told["Exported"].involved_object.kind == "Service"
    assert len(told["Conflict"].message) == 1024


async def test_who_restarts_goes_on_counting(client: Client, namespace: str) -> None:
    about = await client.create(core.SERVICES, service("shop"), namespace=namespace)
    for _ in range(2):
        await Recorder(client, "isthmus-agent").emit(about, type="Normal", reason="Exported", message="m")
    (event,) = (await client.list(core.EVENTS, namespace=namespace)).items
    assert event.count == 2


async def test_an_event_that_was_forgotten_is_told_anew(client: Client, namespace: str) -> None:
    about = ObjectReference(api_version="v1", kind="Service", namespace=namespace, name="s" * 250)
    recorder = Recorder(client, "isthmus-agent")
    await recorder.emit(about, type="Normal", reason="Exported", message="m")
    (event,) = (await client.list(core.EVENTS, namespace=namespace)).items
    await client.delete(core.EVENTS, event.metadata.name, namespace=namespace)
    await recorder.emit(about, type="Normal", reason="Exported", message="m")
    (event,) = (await client.list(core.EVENTS, namespace=namespace)).items
    assert event.count == 1


async def test_an_event_that_cannot_be_written_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    about = ObjectReference(kind="Service", namespace="x", name="shop")
    async with Scripted().then(status(403, "Forbidden")) as server, Client(Config(server.url)) as client:
        with caplog.at_level(logging.WARNING):
            await Recorder(client, "isthmus-agent").emit(about, type="Normal", reason="R", message="m")
    assert "event not written" in caplog.text
