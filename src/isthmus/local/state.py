"""What a cluster set on this machine consists of, and where its files lie."""

import os
import re
import shutil
from pathlib import Path

import msgspec

from isthmus.errors import Invalid

HUB = "hub"
LARGEST_NUMBER = 200
# A cluster's id is part of names and labels that end at 63 characters (catalogue, README Q-2).
LONGEST_NAME = 50
RESERVED = frozenset({"hub", "members", "system"})
# Longer paths do not fit into a Unix socket's address.
LONGEST_SOCKET_PATH = 107
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class ClusterRecord(msgspec.Struct, frozen=True):
    """One cluster: its number, which its addresses are made of, and its API server's port on 127.0.0.1.

    Only one that has `joined` runs an agent.
    """

    number: int
    port: int
    stopped: bool = False
    joined: bool = True


class SetRecord(msgspec.Struct, frozen=True):
    """All clusters of one set by name; the hub is one of them, with number 0."""

    clusters: dict[str, ClusterRecord] = {}
    dns_upstream: str = ""
    heartbeat: float = 10.0

    def with_cluster(self, name: str, record: ClusterRecord) -> "SetRecord":
        """The same set with that cluster added or replaced."""
        return msgspec.structs.replace(self, clusters=self.clusters | {name: record})

    def free_number(self) -> int:
        """The lowest number that no cluster has; raises Invalid if all are taken."""
        taken = {record.number for record in self.clusters.values()}
        for number in range(1, LARGEST_NUMBER + 1):
            if number not in taken:
                return number
        raise Invalid(f"a set has at most {LARGEST_NUMBER} clusters here; start a second with --set NAME")


def checked_name(name: str, what: str) -> str:
    """The name itself, if it can name a cluster or a set; raises Invalid with the rule it breaks."""
    if not _LABEL.fullmatch(name) or len(name) > LONGEST_NAME:
        raise Invalid(f"{what} name {name!r}: use lower-case letters, digits and inner hyphens, at most {LONGEST_NAME}")
    if name in RESERVED:
        raise Invalid(f"{what} name {name!r} is reserved; choose another")
    return name


def state_home() -> Path:
    """The folder of all sets (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "isthmus"


class SetFiles:
    """The folder of one set, below `$XDG_STATE_HOME/isthmus` or `~/.local/state/isthmus`."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        self.name = checked_name(name, "set")
        self.folder = (root or state_home()) / name
        self.socket = self.folder / "supervisor.sock"
        self.kubeconfig = self.folder / "kubeconfig"
        self.log = self.folder / "supervisor.log"

    def cluster(self, name: str) -> Path:
        """The folder of one cluster."""
        return self.folder / name

    def kubelet_socket(self, name: str) -> Path:
        """Where that cluster's node listens; raises Invalid if the path is too long for a Unix socket."""
        path = self.cluster(name) / "kubelet.sock"
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            raise Invalid(f"{path} is too long for a Unix socket; set XDG_STATE_HOME to a shorter folder")
        return path

    def read(self) -> SetRecord:
        """The record as last written; an empty one if there is none. Raises Invalid if it cannot be read."""
        path = self.folder / "set.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=SetRecord)
        except FileNotFoundError:
            return SetRecord()
        except (OSError, msgspec.MsgspecError) as error:
            raise Invalid(f"{path}: {error}; `isthmus down --set {self.name}` removes the set") from error

    def write(self, record: SetRecord) -> None:
        """Write the record whole, or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self.folder / "set.json.new"
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        unfinished.replace(self.folder / "set.json")

    def remove(self) -> None:
        """Delete everything the set has on disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    unfinished = path.with_suffix(f"{path.suffix}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def known_sets(root: Path | None = None) -> list[str]:
    """The names of all sets that have a folder here."""
    return sorted(path.parent.name for path in (root or state_home()).glob("*/set.json"))
