"""Several waits at once, one error afterwards."""

import asyncio
from collections.abc import Coroutine, Iterable


async def together(*jobs: Coroutine[object, object, object]) -> None:
    """Run all jobs side by side to their end, then raise the first error, in the order of the arguments.

    One that fails does not stop the others: each of them is a write that is right by itself.
    """
    if len(jobs) == 1:
        await jobs[0]
        return
    errors: dict[int, Exception] = {}

    async def keep_error(place: int, job: Coroutine[object, object, object]) -> None:
        try:
            await job
        except Exception as error:  # noqa: BLE001 - raised below, once all have ended
            errors[place] = error

    async with asyncio.TaskGroup() as tasks:
        for place, job in enumerate(jobs):
            tasks.create_task(keep_error(place, job), name=f"write {place}")
    _raise_first(errors[place] for place in sorted(errors))


def _raise_first(errors: Iterable[Exception]) -> None:
    for error in errors:
        raise error
