"""Removing a member from a running set: its agent takes everything back before its access goes."""

from isthmus.api.isthmus import MEMBERS
from isthmus.install.joining import remove
from tests.fleets import MakeFleet, embedded_fleet, make_fleet

__all__ = ["embedded_fleet", "make_fleet"]


async def test_a_running_member_takes_back_what_it_imported_before_its_access_goes(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, shop = fleet["east"], fleet["west"], (fleet.namespace, "shop")
        await east.serve(*shop, ["10.1.0.7"])
        await east.export(*shop)
        await west.wait_addresses(*shop, {"10.1.0.7"})
        said: list[str] = []
        await remove(fleet.hub.client, "west", say=said.append)
        assert "west has taken everything back" in said
        await west.wait_no_import(*shop, within=1.0)
        listed = await fleet.hub.client.list(MEMBERS, namespace=fleet.set)
        assert {item.metadata.name for item in listed.items} == {"east"}
        await east.wait_condition(*shop, "Ready", "True/Exported")
