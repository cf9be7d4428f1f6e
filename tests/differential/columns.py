"""Writes the columns that a real server prints of each built-in kind, with what it says about each.

python -m tests.differential.columns

starts the control plane that `make real` built and asks it for one table of each kind.
"""

import json
import tempfile
from pathlib import Path

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import BUILT_IN
from tests.differential.servers import Server, real
from tests.differential.steps import TABLE, get

TARGET = Path(__file__).parents[2] / "src" / "isthmus" / "apiserver" / "builtin" / "columns.json"


def columns(server: Server) -> dict[str, list[Manifest]]:
    """The column definitions by resource."""
    found = {}
    for kind in BUILT_IN:
        if "list" in kind.verbs:
            base = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
            answer = server.send(get(f"{base}/{kind.plural}?limit=1", TABLE), {})
            assert isinstance(answer.body, dict)
            found[kind.resource] = answer.body["columnDefinitions"]
    return found


def main() -> None:
    """Start a server, ask it, write the table, stop the server."""
    with tempfile.TemporaryDirectory() as folder, real(Path(folder)) as server:
        TARGET.write_text(json.dumps(columns(server), separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
