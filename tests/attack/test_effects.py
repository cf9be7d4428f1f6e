"""What a member may write, and what nobody heeds of it: moments, addresses, names, signs of life. In a running set."""

from functools import partial

import pytest

from isthmus.api.core import LEASES
from isthmus.api.isthmus import EXPORT_GRANTS, EXPORTED_SERVICES, MEMBERS, MEMBERS_NAMESPACE, SILENT
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.scheme import Manifest
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually, throughout
from tests.attack.conftest import MALLORY, Row
from tests.fleets import MakeFleet, embedded_fleet, make_fleet
from tests.install.test_policies import export

__all__ = ["embedded_fleet", "make_fleet"]

QUICK = Pace(heartbeat=0.5, silent_after=4.0, brake=5.0)
VICTIMS, MINE, FOREIGN = "10.1.0.7", "10.66.0.6", "10.1.0.8"
ADDRESSES = [MINE, FOREIGN, "127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"]


def forged(fleet: Fleet) -> Manifest:
    """Mallory's export: older than any, for all addresses, sticky where the victim's is not."""
    full = export(f"{MALLORY}.{fleet.namespace}.shop", created="1970-01-01T00:00:00Z", sessionAffinity="ClientIP")
    port = {"name": "http", "port": 80, "protocol": "TCP"}
    endpoints = [{"addresses": [address]} for address in ADDRESSES]
    full["spec"] |= {"ports": [port], "ipFamilies": ["IPv4"]}
    full["spec"]["slices"] = [{"addressType": "IPv4", "ports": [port | {"port": 8080}], "endpoints": endpoints}]
    return full


@pytest.mark.requirement("MCS-48")
async def test_what_a_member_says_of_itself_gains_it_nothing(
    make_fleet: MakeFleet, kind: str, ledger: list[Row]
) -> None:
    async with make_fleet(["victim", "reader"], QUICK) as fleet:
        victim, reader, hub, shop = fleet["victim"], fleet["reader"], fleet.hub.client, (fleet.namespace, "shop")
        await victim.serve(*shop, [VICTIMS])
        await victim.export(*shop)
        await reader.wait_addresses(*shop, {VICTIMS})
        # It joined after the victim exported; an admin has approved what its pods have.
        spec: Manifest = {"id": MALLORY, "set": fleet.set, "uid": "u", "joinedAt": "2999-01-01T00:00:00Z"}
        spec["podRanges"] = ["10.66.0.0/16"]
        member = {"metadata": {"name": MALLORY}, "spec": spec}
        await hub.apply(MEMBERS, member, namespace=fleet.set, options=BY_HAND)
        await hub.apply(EXPORTED_SERVICES, forged(fleet), namespace=fleet.set, options=BY_HAND)
        await reader.wait_addresses(*shop, {VICTIMS, MINE})
        ledger.append((kind, MALLORY, "addresses that are others', or mean something else elsewhere", "no effect"))
        seen = await reader.service_import(*shop)
        assert seen.spec is not None
        assert seen.spec.session_affinity in {None, "", "None"}
        ledger.append((kind, MALLORY, "an export as old as time", "no precedence"))

        grant = {"metadata": {"name": "shops"}, "spec": {"namespaces": [fleet.namespace], "clusters": ["victim"]}}
        await hub.apply(EXPORT_GRANTS, grant, namespace=fleet.set, options=BY_HAND)
        await reader.wait_addresses(*shop, {VICTIMS})
        ledger.append((kind, MALLORY, "a name that no grant gives it", "no effect"))
        await hub.delete(EXPORT_GRANTS, "shops", namespace=fleet.set)
        await reader.wait_addresses(*shop, {VICTIMS, MINE})

        lease: Manifest = {
            "metadata": {"name": MALLORY},
            "spec": {"holderIdentity": "m", "leaseDurationSeconds": 2_000_000_000},
        }
        lease["spec"] |= {"renewTime": "2999-01-01T00:00:00.000000Z"}
        await hub.apply(LEASES, lease, namespace=MEMBERS_NAMESPACE, options=BY_HAND)

        async def is_silent() -> bool:
            known = (await fleet.member(MALLORY)).spec
            return known is not None and known.health.state == SILENT

        await eventually(is_silent, within=60.0, what="a sign of life for a thousand years is one sign of life")
        await reader.wait_addresses(*shop, {VICTIMS}, within=30.0)
        ledger.append((kind, MALLORY, "a sign of life for a thousand years", "no effect"))

        async def is_undisturbed() -> bool:
            return await reader.addresses(*shop) == {VICTIMS}

        await throughout(is_undisturbed, seconds=0.5)
        await hub.delete(LEASES, MALLORY, namespace=MEMBERS_NAMESPACE)


async def test_names_without_end_end(make_fleet: MakeFleet, kind: str, ledger: list[Row]) -> None:
    """Exports that come and go, of one who says that all of them are still there."""
    async with make_fleet(["victim", "reader"], QUICK) as fleet:
        victim, reader, hub, shop = fleet["victim"], fleet["reader"], fleet.hub.client, (fleet.namespace, "shop")
        await victim.serve(*shop, [VICTIMS])
        await victim.export(*shop)
        spec: Manifest = {"id": MALLORY, "set": fleet.set, "uid": "u", "maxExports": 2}
        await hub.apply(MEMBERS, {"metadata": {"name": MALLORY}, "spec": spec}, namespace=fleet.set, options=BY_HAND)
        lie = {"epoch": 1, "namespaces": {fleet.namespace: {"count": 999, "digest": "lie"}}}
        await hub.merge_patch(MEMBERS, MALLORY, {"status": {"exports": lie}}, namespace=fleet.set, subresource="status")

        async def imported() -> set[str]:
            listed = await reader.client.list(SERVICE_IMPORTS, namespace=fleet.namespace)
            return {item.metadata.name for item in listed.items} - {"shop"}

        async def is_imported(name: str) -> bool:
            return name in await imported()

        async def few() -> bool:
            return len(await imported()) <= 2

        for turn in range(3):
            for name in (f"a{turn}", f"b{turn}"):
                full = export(f"{MALLORY}.{fleet.namespace}.{name}")
                full["spec"] |= {"ports": [{"port": 80}], "ipFamilies": ["IPv4"]}
                await hub.apply(EXPORTED_SERVICES, full, namespace=fleet.set, options=BY_HAND)
                await eventually(partial(is_imported, name), what=f"{name} is imported")
            for name in (f"a{turn}", f"b{turn}"):
                await hub.delete(EXPORTED_SERVICES, f"{MALLORY}.{fleet.namespace}.{name}", namespace=fleet.set)
        await eventually(few, within=30.0, what="no more imports name it than it may have exports")
        await reader.wait_addresses(*shop, {VICTIMS})
        ledger.append((kind, MALLORY, "exports that went, said to be there without end", "as many as it may have"))
