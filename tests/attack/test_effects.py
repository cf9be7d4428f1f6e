"""What a member writes by its own credential, and nobody heeds: moments, addresses, names, signs of life."""

from datetime import timedelta
from functools import partial

import pytest

from isthmus.api.core import LEASES
from isthmus.api.isthmus import EXPORT_GRANTS, EXPORTED_SERVICES, MEMBERS, MEMBERS_NAMESPACE, SILENT
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest
from isthmus.errors import Refused
from isthmus.kit.clock import SYSTEM
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually, throughout
from tests.attack.conftest import MALLORY, Row, intruded
from tests.fleets import MakeFleet
from tests.install.test_policies import export

QUICK = Pace(heartbeat=0.5, silent_after=4.0, brake=5.0)
VICTIMS, MINE, FOREIGN = "10.1.0.7", "10.66.0.6", "10.1.0.8"
ADDRESSES = [MINE, FOREIGN, "127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"]


def forged(fleet: Fleet, mallory: str) -> Manifest:
    """Mallory's export: older than any, for all addresses, sticky where the victim's is not."""
    full = export(f"{mallory}.{fleet.namespace}.shop", created="1970-01-01T00:00:00Z", sessionAffinity="ClientIP")
    port = {"name": "http", "port": 80, "protocol": "TCP"}
    endpoints = [{"addresses": [address]} for address in ADDRESSES]
    full["spec"] |= {"ports": [port], "ipFamilies": ["IPv4"]}
    full["spec"]["slices"] = [{"addressType": "IPv4", "ports": [port | {"port": 8080}], "endpoints": endpoints}]
    return full


@pytest.mark.requirement("MCS-48")
async def test_what_a_member_says_of_itself_gains_it_nothing(attacked: MakeFleet, kind: str, ledger: list[Row]) -> None:
    async with attacked(["victim", "reader"], QUICK) as fleet:
        victim, reader, hub, shop = fleet["victim"], fleet["reader"], fleet.hub.client, (fleet.namespace, "shop")
        await victim.serve(*shop, [VICTIMS])
        await victim.export(*shop)
        await reader.wait_addresses(*shop, {VICTIMS})

        async def is_older() -> bool:
            # Kubernetes' times are whole seconds.
            created = (await victim.client.get(SERVICE_EXPORTS, "shop", namespace=fleet.namespace)).metadata
            return SYSTEM.now() - (created.creation_timestamp or SYSTEM.now()) > timedelta(seconds=1)

        await eventually(is_older, what="the victim's export is older than who joins now")
        # It joined after the victim exported; an admin has approved what its pods have.
        async with intruded(fleet, podRanges=["10.66.0.0/16"]) as (own, mallory):
            await mallory.apply(EXPORTED_SERVICES, forged(fleet, own), namespace=fleet.set, options=BY_HAND)
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
                "metadata": {"name": own},
                "spec": {"holderIdentity": "m", "leaseDurationSeconds": 2_000_000_000},
            }
            lease["spec"] |= {"renewTime": "2999-01-01T00:00:00.000000Z"}
            await mallory.apply(LEASES, lease, namespace=MEMBERS_NAMESPACE, options=BY_HAND)

            async def is_silent() -> bool:
                known = (await fleet.member(own)).spec
                return known is not None and known.health.state == SILENT

            await eventually(is_silent, within=60.0, what="a sign of life for a thousand years is one sign of life")
            await reader.wait_addresses(*shop, {VICTIMS}, within=30.0)
            ledger.append((kind, MALLORY, "a sign of life for a thousand years", "no effect"))

            async def is_undisturbed() -> bool:
                return await reader.addresses(*shop) == {VICTIMS}

            await throughout(is_undisturbed, seconds=0.5)
            await hub.delete(LEASES, own, namespace=MEMBERS_NAMESPACE)


async def test_names_without_end_end(attacked: MakeFleet, kind: str, ledger: list[Row]) -> None:
    """Exports that come and go, of one who says that all of them are still there."""
    async with attacked(["victim", "reader"], QUICK) as fleet, intruded(fleet, maxExports=2) as (own, mallory):
        victim, reader, shop = fleet["victim"], fleet["reader"], (fleet.namespace, "shop")
        await victim.serve(*shop, [VICTIMS])
        await victim.export(*shop)
        lie = {"epoch": 1, "namespaces": {fleet.namespace: {"count": 999, "digest": "lie"}}}
        await mallory.merge_patch(MEMBERS, own, {"status": {"exports": lie}}, namespace=fleet.set, subresource="status")

        async def imported() -> set[str]:
            listed = await reader.client.list(SERVICE_IMPORTS, namespace=fleet.namespace)
            return {item.metadata.name for item in listed.items} - {"shop"}

        async def is_imported(name: str) -> bool:
            return name in await imported()

        async def few() -> bool:
            return len(await imported()) <= 2

        async def is_offered(name: str) -> bool:
            full = export(f"{own}.{fleet.namespace}.{name}")
            full["spec"] |= {"ports": [{"port": 80}], "ipFamilies": ["IPv4"]}
            try:
                await mallory.apply(EXPORTED_SERVICES, full, namespace=fleet.set, options=BY_HAND)
            except Refused as refused:
                # The hub counts a moment later that others have gone.
                if "as many exports as it may" not in refused.message:
                    raise
                return False
            return True

        for turn in range(3):
            for name in (f"a{turn}", f"b{turn}"):
                await eventually(partial(is_offered, name), what=f"{name} is exported")
                await eventually(partial(is_imported, name), what=f"{name} is imported")
            for name in (f"a{turn}", f"b{turn}"):
                await mallory.delete(EXPORTED_SERVICES, f"{own}.{fleet.namespace}.{name}", namespace=fleet.set)
        await eventually(few, within=30.0, what="no more imports name it than it may have exports")
        await reader.wait_addresses(*shop, {VICTIMS})
        ledger.append((kind, MALLORY, "exports that went, said to be there without end", "as many as it may have"))
