"""One embedded server and one real control plane, for every sequence of the table."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.differential.compare import report
from tests.differential.sequences import ALL
from tests.differential.servers import Server, embedded, real
from tests.differential.steps import Sequence
from tests.real.build import binary


@dataclass
class Pair:
    """Both servers."""

    ours: Server
    theirs: Server
    pool: ThreadPoolExecutor

    def compare(self, sequence: Sequence) -> str:
        """Play a sequence to both at once; what differs, for a person."""
        ours, theirs = self.pool.map(lambda server: server.play(sequence), (self.ours, self.theirs))
        return report(sequence, ours, theirs)


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both, with a namespace for each sequence."""
    if not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    folders = [tmp_path_factory.mktemp(name) for name in ("ours", "theirs")]
    with embedded(folders[0]) as ours, real(folders[1]) as theirs, ThreadPoolExecutor(2) as pool:
        for server in (ours, theirs):
            for sequence in ALL:
                server.make(sequence.namespace)
            for sequence in ALL:
                server.furnished(sequence.namespace)
        yield Pair(ours, theirs, pool)
