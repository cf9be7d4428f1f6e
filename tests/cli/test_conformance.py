"""`isthmus conformance`: what may be typed, and what is said of it."""

import subprocess
import sys
from pathlib import Path

import pytest

ISTHMUS = Path(sys.executable).parent / "isthmus"


def conformance(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ISTHMUS, "conformance", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("suite", "first"), [("mcs", "C-1"), ("about", "A-1")])
def test_the_checks_are_listed_without_a_cluster(suite: str, first: str) -> None:
    done = conformance(suite, "--list")
    assert done.returncode == 0
    assert done.stdout.split()[:2] == [first, "Required"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(["mcs"], 1, "--contexts C1,C2", id="no contexts"),
        pytest.param(["mcs", "--contexts=a", "--skip=C-1"], 1, "write why: --skip 'C-1=REASON'", id="no reason"),
        pytest.param(["mcs", "--contexts=a", "--at-once=0"], 2, "--at-once", id="a bad number"),
        pytest.param(["mcs", "--contexts=a", "--patience=0"], 2, "--patience", id="no patience"),
        pytest.param(["mcs", "--contexts=a", "--kubeconfig=/not/there"], 1, "/not/there", id="no kubeconfig"),
        pytest.param(["elsewhere"], 2, "elsewhere", id="an unknown suite"),
    ],
)
def test_wrong_words_are_refused_with_the_next_step(words: list[str], code: int, said: str) -> None:
    done = conformance(*words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
