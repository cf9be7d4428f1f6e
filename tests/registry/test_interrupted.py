"""A join, and a leave, that die after any of their writes: the same again goes on from there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import eventually
from tests.registry.conftest import Hands
from tests.registry.site import OUTSIDE, Site, typed, wait_clean
from tests.registry.site import died as died_at

ROOT = Path(__file__).parents[2]
# After the request; the own token; the first of what is put up; in its middle; and each of the last.
JOINS = (1, 2, 3, 12, 25, *range(33, 60))
LEAVES = (1, 2, 10, 20, *range(30, 60, 2))
# On a real one: each step's first write, or its last.
REAL_JOINS = {
    "pull": ("/joinrequests", "/token", "/priorityclasses", "/secrets/isthmus-hub", "/deployments/isthmus-agent"),
    "push": ("/token", "/secrets/isthmus-agent-key", "/secrets/isthmus-agent-west"),
}


def died(hands: Hands, writes: int, *words: str) -> bool:
    """Whether it died before it was through."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.registry.dying", str(writes), *words],
        env=os.environ | {"XDG_STATE_HOME": str(hands.home)} | hands.extra,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode == -9


@pytest.mark.timeout(400)
def test_a_join_and_a_leave_that_die_at_any_step_are_run_again(hands: Hands) -> None:
    token = hands.token("--cluster", "west")
    deaths = 0
    for writes in JOINS:
        if not died(hands, writes, "join", token, "--context", "west", "--property", "region=eu"):
            break
        deaths += 1
    assert deaths >= 5
    assert "members/isthmus/west" in hands.objects("hub", "members")
    assert hands.units()["west/agent"]["state"] == "running"
    deaths = 0
    for writes in LEAVES:
        if not died(hands, writes, "leave", "--context", "west", "--crds", "--yes"):
            break
        deaths += 1
    # What was begun is finished, whether the last run found anything to do or not.
    hands("leave", "--context", "west", "--crds", "--yes")
    assert deaths >= 1
    assert hands.on_member("west") == set()
    eventually(lambda: "serviceaccounts/isthmus-members/west" not in hands.on_hub(), "the hub is clean", 90.0)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", REAL_JOINS)
async def test_a_real_clusters_join_that_dies_at_a_step_is_run_again(site: Site, mode: str) -> None:
    before = await site.objects()
    push = site.push() if mode == "push" else ()
    reached = (f"--server=https://{OUTSIDE}:{site.plane.port}",) if push else ()
    token = await site.token("--cluster=west")
    for point in REAL_JOINS[mode]:
        assert await died_at(site, point, "join", token, f"--proxy={site.proxy.url}", *push, *reached), point
    done = await site.join(token, *push, *reached)
    assert done.code == 0, done.err
    assert "This cluster is member west of set prod." in done.out
    assert "members/prod/west" in await site.objects()
    left = await typed(site.plane, "leave", "--yes", *push)
    assert left.code == 0, left.err
    await wait_clean(site, before)
