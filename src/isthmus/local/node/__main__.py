"""`python -m isthmus.local.node --config FILE`: the node of one embedded cluster."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from isthmus.errors import Invalid
from isthmus.kit import logs
from isthmus.local.node.app import run
from isthmus.local.node.config import load
from isthmus.local.node.launcher import SpawnerLost

log = logging.getLogger(__name__)


def main() -> int:
    """Run the node that the file describes; 0 when told to end, 1 when it cannot go on."""
    parser = argparse.ArgumentParser(prog="isthmus.local.node", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    logs.configure(json=False, level="INFO")
    code = 0
    try:
        asyncio.run(run(load(arguments.config)))
    except* (Invalid, SpawnerLost) as problems:
        log.error("the node cannot go on", extra={"errors": [str(each) for each in leaves(problems)]})  # noqa: TRY400
        code = 1
    return code


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The errors in a group of groups."""
    found: list[BaseException] = []
    for each in group.exceptions:
        found += leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


if __name__ == "__main__":
    sys.exit(main())
