"""One set of real processes for all tests of this folder, one fault after the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.fleet import RealFleet
from tests.real.build import binary


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealFleet]:
    """The set; only where `make real` has built a control plane."""
    if not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    fleet = RealFleet(tmp_path_factory.mktemp("faults"), ["east", "west"])
    begun, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        # A set begins and ends in one task; the parts of a fixture are two.
        async with fleet:
            begun.set()
            await over.wait()

    living = asyncio.create_task(live())
    await asyncio.wait({living, asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if living.done():
        living.result()
    yield fleet
    over.set()
    await living


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(whole: RealFleet) -> AsyncIterator[RealFleet]:
    """The set, all right when the test begins; afterwards nothing may have been wrong on the way."""
    await whole.settled()
    whole.observer.violations.clear()
    whole.observer.verdicts.clear()
    yield whole
    await whole.settled()
    assert not whole.observer.violations, "\n".join(whole.observer.violations)
