"""Each way to fall silent and to return, and what is said of it: a table for people, asserted line by line."""

import re
from dataclasses import dataclass, field

from isthmus.api.isthmus import MEMBERS, Health
from isthmus.hub.bootstrap import NewMember, bootstrap_hub
from isthmus.inventory.rules.standing import standing
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually, throughout
from tests.conftest import CONTROL_PLANE
from tests.fleets import MakeFleet

QUICK = Pace(heartbeat=0.5, silent_after=5, brake=8)
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass
class Watcher:
    """Waits for what is said of a member, and keeps it."""

    fleet: Fleet
    lines: list[str] = field(default_factory=list)

    async def wait(self, way: str, name: str, state: str, words: str) -> None:
        said = ""

        async def check() -> bool:
            nonlocal said
            found = standing(await self.fleet.member(name))
            health = (await self.fleet.member(name)).spec
            said = found.why or (health.health if health else Health()).reason
            return found.state == state and words in said

        await eventually(check, within=40, what=f"{way}: {name} is {state}: {words}")
        self.lines.append(f"{way:44} {state:10} {MOMENT.sub('<moment>', said)}")


async def fall_and_return(watcher: Watcher, *, flapping: bool = False) -> None:
    fleet = watcher.fleet
    await fleet.agents["east"].kill()
    way = "it falls silent for the third time" if flapping else "its agent ends"
    await watcher.wait(way, "east", "Silent", "Lease isthmus-members/east was watched all the time and did not change")
    fleet.agents["east"] = await fleet.start_agent("east")


async def flap(watcher: Watcher) -> None:
    await fall_and_return(watcher)
    await watcher.wait("another agent begins", "east", "Healthy", "its heartbeat is back since 20")
    await fall_and_return(watcher, flapping=True)
    await watcher.wait("and comes back", "east", "Silent", "but it fell silent 3 times within 600 seconds")
    await watcher.wait("and stays", "east", "Healthy", "its heartbeat is back since 20")


async def test_each_way_to_fall_silent_and_to_return_is_explained(make_fleet: MakeFleet, kind: str) -> None:
    async with make_fleet(["east", "west", "north"], QUICK) as fleet:
        watcher = Watcher(fleet)
        for name in fleet.members:
            await watcher.wait("at first", name, "Healthy", "")
        watcher.lines.clear()
        await bootstrap_hub(fleet.hub.client, fleet.set, [NewMember("never")])
        await watcher.wait("its agent never came", "never", "Silent", "there is no Lease isthmus-members/never")
        await fall_and_return(watcher)
        await watcher.wait("another agent begins", "east", "Healthy", "its heartbeat is back since 20")
        # Servers in this process hold up the hub's own election when they are busy: then it begins to count anew.
        if kind == CONTROL_PLANE:
            await flap(watcher)
        spec = {"spec": {"server": "https://127.0.0.1:9"}}
        await fleet.hub.client.merge_patch(MEMBERS, "west", spec, namespace=fleet.set)
        await watcher.wait("its address does not answer", "west", "Unanswered", "https://127.0.0.1:9: no connection")
        spec = {"spec": {"server": ""}}
        await fleet.hub.client.merge_patch(MEMBERS, "west", spec, namespace=fleet.set)
        await watcher.wait("it answers again", "west", "Healthy", "")
        await fleet.controller.kill()
        await fleet.agents["north"].kill()
        fleet.controller = await fleet.start_hub(identity="hub-2")

        async def not_judged() -> bool:
            return standing(await fleet.member("north")).state == "Healthy"

        await throughout(not_judged, seconds=3)
        watcher.lines.append(f"{'the hub itself was away':44} {'Healthy':10} nobody is judged for a full grace")
        await watcher.wait("and it stays away after the hub is back", "north", "Silent", "no heartbeat since 20")
        print(f"\n{kind}: silences\n" + "\n".join(watcher.lines))  # noqa: T201 - a table for people
