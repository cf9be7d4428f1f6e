"""A steady load: curl by name from a pod, several times a second, whatever happens to the pod's cluster meanwhile."""

import secrets
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from isthmus.errors import IsthmusError
from isthmus.testing.waiting import eventually
from tests.nodes.site import CLIENT, NOBODY, Site

# Seconds that a request may take: a stock resolver asks again after five.
PATIENCE = 12
# asks.sh FILE URL SECONDS: until FILE.stop is there, one line for each request: when it began and ended, who answered.
ASKS = """
while ! [ -e "$1.stop" ]; do
  began=$(date +%s.%N)
  if said=$(curl -sS --max-time "$3" "$2" 2>&1); then who=${said%% *}; else who="- $said"; fi
  # Not quoted: words of several lines become one line.
  echo "$began" "$(date +%s.%N)" $who
  sleep 0.1
done >"$1"
"""


@dataclass(frozen=True)
class Request:
    """One request: begun and ended (seconds since 1970), who answered, or NOBODY and curl's own words."""

    began: float
    ended: float
    who: str
    problem: str

    @property
    def is_lost(self) -> bool:
        """Whether nobody answered."""
        return self.who == NOBODY


class Steady:
    """The load from one cluster's pod `client`, for the length of an `async with` block.

    It runs in the pod by itself: neither the API server nor the kubelet is needed for it to go on.
    """

    def __init__(self, site: Site, namespace: str, host: str, *, limit: int = PATIENCE) -> None:
        self.site = site
        self._namespace = namespace
        self._host = host
        self._limit = limit
        self._file = f"/tmp/steady-{secrets.token_hex(4)}"

    async def __aenter__(self) -> Self:
        apart = 'sh -c "$0" asks "$1" "$2" "$3" >/dev/null 2>&1 </dev/null &'
        words = ("sh", "-c", apart, ASKS, self._file, f"http://{self._host}", str(self._limit))
        code, _ = await self.site.run(self._namespace, CLIENT, *words)
        assert code == 0

        async def goes() -> bool:
            return bool(await self.requests())

        await eventually(goes, what=f"requests from {self.site.name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.site.run(self._namespace, CLIENT, "touch", f"{self._file}.stop")

    async def requests(self, *, since: float = 0.0) -> list[Request]:
        """All requests that have ended, of those that began since then."""
        _, said = await self.site.run(self._namespace, CLIENT, "cat", self._file)
        whole = said[: said.rfind("\n") + 1].splitlines()
        words = [[*line.split(" ", 3), ""] for line in whole]
        found = [Request(float(began), float(ended), who, rest) for began, ended, who, rest, *_ in words]
        return [each for each in found if each.began >= since]

    async def wait_answered_by(self, wanted: set[str], *, within: float) -> float:
        """Return once the latest requests were answered by exactly these; how many seconds that took."""
        began = time.time()
        latest: list[Request] = []

        async def check() -> bool:
            nonlocal latest
            try:
                latest = (await self.requests(since=began))[-8 * len(wanted) :]
            except IsthmusError:
                return False
            return len(latest) >= 4 * len(wanted) and {each.who for each in latest} == wanted

        what = f"{self._host} answered in {self.site.name} by {sorted(wanted)}"
        try:
            await eventually(check, within=within, what=what)
        except AssertionError as problem:
            raise AssertionError(f"{problem}; {Counter(each.who for each in latest)}") from problem
        return time.time() - began

    async def wait_requests(self, count: int) -> None:
        """Let the load go on for so many requests more."""
        began = time.time()

        async def check() -> bool:
            return len(await self.requests(since=began)) >= count

        await eventually(check, within=60.0, what=f"{count} requests more in {self.site.name}")

    async def none_was_lost(self, *, at_least: int = 10) -> None:
        """Hold that there were so many requests, and that each was answered."""
        requests = await self.requests()
        lost = [
            f"{each.began:.1f}, for {each.ended - each.began:.1f} s: {each.problem}"
            for each in requests
            if each.is_lost
        ]
        assert not lost, f"{self.site.name}: {len(lost)} of {len(requests)} requests lost: {lost[:5]}"
        assert len(requests) >= at_least, f"{self.site.name}: {len(requests)} requests only"
