"""How far our clock is from a server's."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.kit.clock import FakeClock, SystemClock
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.dates import Dates
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster

__all__ = ["cluster"]


class Fast(SystemClock):
    """The machine's clock, two minutes ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=2)


async def test_a_clock_two_minutes_off_shows_in_any_answer(cluster: TestCluster) -> None:
    async with Client(load_kubeconfig([cluster.host.kubeconfig]), clock=Fast()) as client:
        assert client.ahead is None
        await client.version()
        assert client.ahead == pytest.approx(120, abs=2)
    await cluster.client.version()
    assert cluster.client.ahead == pytest.approx(0, abs=2)


@pytest.mark.parametrize(
    ("date", "took", "ahead"),
    [
        pytest.param("Mon, 31 Dec 2029 23:59:00 GMT", 0.0, 59.5, id="half a second was cut off"),
        pytest.param("Mon, 31 Dec 2029 23:59:00 GMT", 1.0, 59.0, id="the answer was made half way"),
        pytest.param("Mon, 31 Dec 2029 23:59:00 GMT", 3.0, None, id="a slow answer says nothing"),
        pytest.param("yesterday", 0.0, None, id="no date"),
        pytest.param("Mon, 31 Dec 99999 23:59:00 GMT", 0.0, None, id="no year that we know"),
        pytest.param("", 0.0, None, id="no header"),
    ],
)
def test_dates(date: str, took: float, ahead: float | None) -> None:
    dates = Dates(FakeClock(datetime(2030, 1, 1, tzinfo=UTC)))
    dates.note(date, took)
    assert dates.ahead == ahead
