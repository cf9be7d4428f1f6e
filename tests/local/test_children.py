import os
import select
from collections.abc import Callable
from pathlib import Path

from isthmus.local.children import Children, take


def in_child(act: Callable[[], None]) -> int:
    """The number of a child that does this, ends with 0 if it could, and knows nothing of tests."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return pid


def test_descriptors_are_where_they_are_wanted_and_there_are_no_others(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / name, os.O_CREAT | os.O_WRONLY) for name in ("first", "second"))
    null = os.open(os.devnull, os.O_RDONLY)

    def swap() -> None:
        # Each stands where the other is wanted.
        take({0: null, 1: first, 2: second, first: second, second: first, 90: null})
        os.write(1, b"one ")
        os.write(second, " ".join(str(number) for number in range(256) if is_open(number)).encode())
        os.write(first, b"two")

    wanted = [0, 1, 2, first, second, 90]
    assert os.waitstatus_to_exitcode(os.waitpid(in_child(swap), 0)[1]) == 0
    assert (tmp_path / "first").read_text() == f"one {' '.join(map(str, sorted(wanted)))}"
    assert (tmp_path / "second").read_text() == "two"
    for descriptor in (first, second, null):
        os.close(descriptor)


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_who_ended_before_and_after_is_told_once() -> None:
    def tell() -> None:
        early = in_child(lambda: None)
        os.waitid(os.P_PID, early, os.WEXITED | os.WNOWAIT)
        children = Children()
        assert [pid for pid, _ in heard(children)] == [early]
        late = in_child(lambda: os._exit(3))
        assert [(pid, os.waitstatus_to_exitcode(status)) for pid, status in heard(children)] == [(late, 3)]

    # In a child, since the handlers of signals are a process's own.
    assert os.waitstatus_to_exitcode(os.waitpid(in_child(tell), 0)[1]) == 0


def heard(children: Children) -> list[tuple[int, int]]:
    assert select.select([children], [], [], 30)[0]
    return list(children.ended())
