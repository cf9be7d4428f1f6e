"""What a cluster can offer to imports."""

from isthmus.mcs.controllers.place import service_families
from tests.fleets import MakeFleet


async def test_families_are_found_without_rights_on_the_clusters_configuration(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east"]) as fleet:
        assert await service_families(fleet["east"].client) == ("IPv4", "IPv6")
