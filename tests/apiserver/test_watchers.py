import asyncio

import pytest

from isthmus.apiserver.watchers import Window
from isthmus.errors import Gone


def window(size: int, count: int) -> Window[str]:
    made: Window[str] = Window(size, 0)
    for revision in range(1, count + 1):
        made.add(revision, f"c{revision}")
    return made


def test_a_window_knows_what_came_after_a_version() -> None:
    assert window(10, 5).since(3) == ["c4", "c5"]
    assert window(10, 5).since(5) == []
    assert window(10, 5).since(99) == []


def test_what_has_been_forgotten_is_gone_and_the_rest_complete() -> None:
    made = window(4, 30)
    assert made.horizon > 20
    with pytest.raises(Gone):
        made.since(made.horizon - 1)
    assert made.since(made.horizon) == [f"c{n}" for n in range(made.horizon + 1, 31)]


async def test_waiting_ends_with_a_change_a_close_or_the_time() -> None:
    made = window(4, 1)
    waiting = asyncio.ensure_future(made.wait(60))
    await asyncio.sleep(0)
    made.add(2, "c2")
    await asyncio.wait_for(waiting, 1)
    await made.wait(0.01)
    made.close()
    await asyncio.wait_for(made.wait(60), 1)
