"""A node's process without the residents of other rooms: pods, logs, commands."""

import asyncio
import sys
from pathlib import Path

from isthmus.kit import logs
from isthmus.local.node.app import run, run_pods
from isthmus.local.node.config import load
from isthmus.local.node.registration import keep_registered

if __name__ == "__main__":
    logs.configure(json=False, level="INFO")
    asyncio.run(run(load(Path(sys.argv[1])), (keep_registered, run_pods)))
