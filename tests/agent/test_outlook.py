"""What an agent finds about its cluster from outside, and what it costs the hub."""

import base64

import pytest

from isthmus.api.core import LEASES
from isthmus.api.isthmus import MEMBERS, MEMBERS_NAMESPACE, MemberStatus
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet

QUICK = Pace(heartbeat=0.3)


async def publish(fleet: Fleet, name: str, server: str) -> None:
    trust = load_kubeconfig([fleet[name].host.kubeconfig]).trust.authority
    authority = base64.b64encode(trust.read()).decode() if trust is not None else ""
    await fleet.hub.client.merge_patch(
        MEMBERS,
        name,
        {"spec": {"server": server, "certificateAuthority": authority}},
        namespace=fleet.set,
        options=BY_HAND,
    )


async def wait_probe(fleet: Fleet, name: str, answered: bool) -> MemberStatus:
    async def check() -> MemberStatus | None:
        status = (await fleet.member(name)).status
        return status if status is not None and status.probe is not None and status.probe.answered is answered else None

    return await eventually(check, what=f"{name} answered: {answered}")


async def test_a_published_address_is_called_as_others_would_and_told_only_when_it_changes(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        server = fleet["east"].client.server
        await publish(fleet, "east", server)
        status = await wait_probe(fleet, "east", True)
        assert status.clock_difference == 0
        settled = (await fleet.member("east")).metadata.resource_version

        async def quiet() -> bool:
            return (await fleet.member("east")).metadata.resource_version == settled

        await throughout(quiet, seconds=1.5)
        await publish(fleet, "east", "https://127.0.0.1:9")
        lost = await wait_probe(fleet, "east", False)
        assert lost.probe is not None
        assert lost.probe.problem.startswith("https://127.0.0.1:9: no connection")
        await publish(fleet, "east", server.replace("https:", "http:"))
        await publish(fleet, "east", server)
        again = await wait_probe(fleet, "east", True)
        assert again.probe is not None
        assert lost.probe.at is not None
        assert again.probe.at is not None
        assert again.probe.at >= lost.probe.at


async def test_a_new_agent_repeats_what_the_last_one_told(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        before = await wait_probe(fleet, "east", True)
        await fleet.agents["east"].kill()
        fleet.agents["east"] = await fleet.start_agent("east", identity="east-2")

        async def reported() -> MemberStatus | None:
            status = (await fleet.member("east")).status
            return status if status is not None and status.exports.epoch > before.exports.epoch else None

        after = await eventually(reported, within=20, what="the new agent has reported")
        assert after.probe == before.probe
        assert after.clock_difference == before.clock_difference


@pytest.mark.requirement("INV-32")
async def test_an_address_that_died_in_a_silence_is_not_said_to_answer_after_it(make_fleet: MakeFleet) -> None:
    # Slow looks: the second one comes too late for this test.
    async with make_fleet(["east"], Pace(heartbeat=60.0)) as fleet:
        await wait_probe(fleet, "east", True)

        async def renewed() -> str | None:
            return (await fleet.hub.client.get(LEASES, "east", namespace=MEMBERS_NAMESPACE)).spec.renew_time

        before = await eventually(renewed, what="a first heartbeat")
        await fleet.agents["east"].kill()
        await publish(fleet, "east", "https://127.0.0.1:9")
        fleet.agents["east"] = await fleet.start_agent("east", identity="east-2")

        async def heard() -> MemberStatus | None:
            return (await fleet.member("east")).status if await renewed() != before else None

        # Whom nobody ended may lead again once his election has run out.
        status = await eventually(heard, within=40.0, what="the new agent's first heartbeat")
        assert status.probe is not None
        assert not status.probe.answered, "by then the hub knows what it found"
