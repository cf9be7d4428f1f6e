"""Tests on two processes: what stays together, and how both stop."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A test writes down who ran it.
RECORDING = """
import os, pathlib, pytest, signal, time
@pytest.mark.parametrize("number", range({count}))
def test_{name}(number):
    with pathlib.Path("ran").open("a") as ran:
        ran.write(f"{name} {{os.environ['PYTEST_XDIST_WORKER']}}\\n")
    {body}
"""
# Once the other worker is at its test as well.
PRESSES_CTRL_C = """
    while 'dns' not in pathlib.Path('ran').read_text():
        time.sleep(0.01)
    os.killpg(0, signal.SIGINT)
    signal.pause()
"""
# After xdist has been told.
TELLS_OF_FAILURES = """
import pathlib, pytest
@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.failed:
        pathlib.Path("failed").touch()
"""
SLOW_TO_TAKE_DOWN = """
import pathlib, pytest, threading
@pytest.fixture(scope="session", autouse=True)
def started(worker_id):
    yield
    # Longer than xdist has patience.
    threading.Event().wait(6)
    pathlib.Path(f"down-{worker_id}").touch()
"""


def project(folder: Path, counts: dict[str, int], bodies: dict[str, str]) -> None:
    for name, count in counts.items():
        (folder / "tests" / name).mkdir(parents=True)
        text = RECORDING.format(name=name, count=count, body=bodies.get(name, "pass"))
        (folder / "tests" / name / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p xdist.plugin -p tests.workers --import-mode=importlib\n")


def said(folder: Path, *options: str) -> str:
    """What pytest says when it runs there on two processes."""
    command = ["env", "--default-signal=INT", sys.executable, "-m", "pytest", "-n2", "-q", *options]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # A group of its own, as in a terminal: ctrl-c reaches all of its processes.
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        try:
            return process.communicate(timeout=100)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def ran(folder: Path) -> dict[str, list[str]]:
    """Who ran the tests of each folder."""
    workers: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "ran").read_text().splitlines():
        name, worker = line.split()
        workers[name].append(worker)
    return workers


def test_a_folder_stays_with_one_worker_and_those_that_share_the_machine_come_last_and_alone(tmp_path: Path) -> None:
    counts = {"nodes": 5, "kit": 9, "faults": 4, "api": 7, "dns": 1}
    project(tmp_path, counts, {})
    words = said(tmp_path)
    workers = ran(tmp_path)
    assert {name: len(each) for name, each in workers.items()} == counts, words
    assert all(len(set(each)) == 1 for each in workers.values()), workers
    assert workers["nodes"][0] == workers["faults"][0]
    last = [line.split()[0] for line in (tmp_path / "ran").read_text().splitlines()][-9:]
    assert sorted(last) == ["faults"] * 4 + ["nodes"] * 5


def test_the_first_failure_stops_the_other_worker_too(tmp_path: Path) -> None:
    other_has_begun = "while 'kit' not in pathlib.Path('ran').read_text(): time.sleep(0.01)"
    waits = "while not pathlib.Path('failed').exists(): time.sleep(0.01)"
    project(tmp_path, {"dns": 20, "kit": 200}, {"dns": f"{other_has_begun}\n    assert 0", "kit": waits})
    (tmp_path / "tests" / "conftest.py").write_text(TELLS_OF_FAILURES)
    words = said(tmp_path, "-x")
    assert len(ran(tmp_path)["dns"]) == 1, words
    assert len(ran(tmp_path)["kit"]) < 200, words


def test_what_a_worker_that_died_left_undone_is_done_by_others(tmp_path: Path) -> None:
    project(tmp_path, {"dns": 6, "kit": 6}, {"kit": "number == 2 and os._exit(1)"})
    words = said(tmp_path)
    assert {name: len(each) for name, each in ran(tmp_path).items()} == {"dns": 6, "kit": 6}, words
    assert "crashed while running 'tests/kit/test_kit.py::test_kit[2]'" in words
    assert "1 failed, 11 passed" in words


def test_after_ctrl_c_workers_take_their_time_to_take_down_what_they_have_started(tmp_path: Path) -> None:
    project(tmp_path, {"dns": 1, "kit": 1}, {"dns": "signal.pause()", "kit": PRESSES_CTRL_C})
    (tmp_path / "tests" / "conftest.py").write_text(SLOW_TO_TAKE_DOWN)
    words = said(tmp_path)
    assert {path.name for path in tmp_path.glob("down-*")} == {"down-gw0", "down-gw1"}, words
    assert "KeyboardInterrupt" in words
