"""What an agent says of its cluster and of itself."""

from isthmus import __version__
from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.isthmus import RULES_VERSION, MemberStatus
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet


async def status_of(fleet: Fleet, name: str) -> MemberStatus:
    member = await fleet.member(name)
    return member.status or MemberStatus()


async def wait_count(fleet: Fleet, count: int) -> MemberStatus:
    """East's status, once it says that it exports so many services."""

    async def check() -> MemberStatus | None:
        status = await status_of(fleet, "east")
        said = status.exports.namespaces.get(fleet.namespace)
        return status if (said.count if said is not None else 0) == count and status.exports.epoch else None

    return await eventually(check, what=f"east exports {count}")


async def test_a_member_says_what_it_exports_and_each_change_is_a_higher_epoch(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        none = await wait_count(fleet, 0)
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        one = await wait_count(fleet, 1)
        await east.back(fleet.namespace, "shop", ["10.77.0.6"])
        await fleet["west"].wait_addresses(fleet.namespace, "shop", {"10.77.0.6"})
        same = await status_of(fleet, "east")
        await east.export(fleet.namespace, "no-such-service")
        await east.serve(fleet.namespace, "cart", ["10.77.0.7"])
        await east.export(fleet.namespace, "cart")
        two = await wait_count(fleet, 2)
        await east.unexport(fleet.namespace, "shop")
        await east.unexport(fleet.namespace, "cart")
        again = await wait_count(fleet, 0)
        assert same.exports == one.exports
        assert none.exports.epoch < one.exports.epoch < two.exports.epoch < again.exports.epoch


async def test_what_others_export_and_a_list_finds_is_no_news_to_tell(embedded_fleet: MakeFleet) -> None:
    async with embedded_fleet() as fleet:
        east, west = fleet["east"], fleet["west"]
        other = f"{fleet.namespace}-other"
        await west.namespace(other)
        await west.serve(other, "shop", ["10.78.0.5"])
        await west.export(other, "shop")
        await west.wait_import(other, "shop")
        before = (await wait_count(fleet, 0)).exports
        await east.namespace(other)
        await east.wait_addresses(other, "shop", {"10.78.0.5"})

        async def same() -> bool:
            return (await status_of(fleet, "east")).exports == before

        await throughout(same, seconds=1)


async def test_what_one_exports_into_a_new_namespace_is_told_once(embedded_fleet: MakeFleet) -> None:
    async with embedded_fleet() as fleet:
        east, west = fleet["east"], fleet["west"]
        before = (await wait_count(fleet, 0)).exports.epoch
        # The more namespaces have come lately, the later the hub is asked for what is in the next.
        for number in range(4):
            name = f"{fleet.namespace}-{number}"
            await west.namespace(name)
            await west.serve(name, "shop", ["10.78.0.5"])
            await west.export(name, "shop")
            await west.wait_import(name, "shop")
            await east.namespace(name)
            await east.wait_addresses(name, "shop", {"10.78.0.5"})
        other = f"{fleet.namespace}-other"
        await east.namespace(other)
        await east.serve(other, "shop", ["10.77.0.5"])
        await east.export(other, "shop")
        # By then a list has found at the hub what was written where nothing was watched.
        await east.wait_addresses(other, "shop", {"10.77.0.5"})

        async def said() -> bool:
            return other in (await status_of(fleet, "east")).exports.namespaces

        async def once() -> bool:
            return (await status_of(fleet, "east")).exports.epoch == before + 1

        await eventually(said)
        await throughout(once, seconds=2)


async def test_a_member_says_its_versions_and_properties(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        for name, value in (("region.example.com", "north"), ("long.example.com", "x" * 2000)):
            manifest = {
                "apiVersion": CLUSTER_PROPERTIES.api_version,
                "kind": CLUSTER_PROPERTIES.kind,
                "metadata": {"name": name},
                "spec": {"value": value},
            }
            await east.client.apply(CLUSTER_PROPERTIES, manifest, options=BY_HAND)

        async def said() -> MemberStatus | None:
            status = await status_of(fleet, "east")
            return status if "region.example.com" in status.properties else None

        status = await eventually(said)
        assert status.properties["cluster.clusterset.k8s.io"] == "east"
        assert "long.example.com" not in status.properties
        assert status.agent_version == __version__
        assert status.kubernetes_version == await east.client.version()
        assert status.rules_version == RULES_VERSION
        for name in ("region.example.com", "long.example.com"):
            await east.client.delete(CLUSTER_PROPERTIES, name)
