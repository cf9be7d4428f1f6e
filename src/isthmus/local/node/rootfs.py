"""What a container sees of the file system: the host's, with /proc, /run, /dev of its own and the pod's files.

Standard library only: it runs in the process that becomes the container. Nothing is copied, and the host's
folders are not touched: where a mount point does not exist, the folder above it is rebuilt in memory
with the host's entries bound into it.
"""

import contextlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.local.namespaces import (
    BIND,
    NO_ATIME,
    NO_DEVICES,
    NO_DIR_ATIME,
    NO_EXEC,
    NO_SUID,
    PRIVATE,
    READ_ONLY,
    RECURSIVE,
    RELATIVE_ATIME,
    REMOUNT,
    UNBINDABLE,
    detach,
    mount,
    pivot_root,
)

_OLD = Path("/.host")
_SHADOWS = Path("/.shadow")
# Rebuilding a folder costs one mount for each entry.
_MOST_ENTRIES = 1000
# /run: its sockets belong to the host (systemd-resolved among them, which would answer instead of our DNS).
_OWN = frozenset({"proc", "run", "dev"})
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_KEPT_FLAGS = NO_SUID | NO_DEVICES | NO_EXEC | NO_ATIME | NO_DIR_ATIME


@dataclass(frozen=True)
class Mount:
    """A file or folder of the node that appears at `target` in the container."""

    source: str
    target: str
    read_only: bool = False


def build(root: Path, mounts: Sequence[Mount]) -> None:
    """Make the current mount namespace the container's; `root` is an empty folder to build upon.

    Raises OSError, whose message names what could not be mounted.
    """
    mount("", "/", flags=PRIVATE | RECURSIVE)
    mount("pod", str(root), "tmpfs", options="mode=0755")
    # So that binding the folder it lies in does not bring it along.
    mount("", str(root), flags=UNBINDABLE)
    _rebuild(Path("/"), root, skip=_OWN)
    for folder in (*_OWN, _OLD.name, _SHADOWS.name):
        (root / folder).mkdir(mode=0o755)
    _add_devices(root / "dev")
    pivot_root(str(root), str(root / _OLD.name))
    os.chdir("/")
    mount("", "/", flags=PRIVATE)
    try:
        mount("proc", "/proc", "proc", NO_SUID | NO_DEVICES | NO_EXEC)
    except OSError as error:
        message = f"{error.strerror}; this happens in containers that hide parts of /proc"
        raise OSError(error.errno, message) from error
    view = _View()
    for wanted in sorted(mounts, key=lambda each: each.target.count("/")):
        view.add(wanted)
    detach(str(_OLD))
    _OLD.rmdir()


class _View:
    """The container's tree while the pod's files are mounted into it."""

    def __init__(self) -> None:
        # Below these, folders may be made: they are the pod's own.
        self._own = [Path("/run"), Path("/dev")]
        self._shadows = 0

    def add(self, wanted: Mount) -> None:
        source = _OLD / wanted.source.lstrip("/")
        target = Path(wanted.target).resolve()
        self._ensure(target, is_folder=source.is_dir())
        mount(str(source), str(target), flags=BIND | RECURSIVE)
        if wanted.read_only:
            _make_read_only(target)
        else:
            self._own.append(target)

    def _ensure(self, target: Path, *, is_folder: bool) -> None:
        if os.path.lexists(target):
            if target.is_dir() != is_folder:
                raise OSError(20, f"{target} exists on this machine and is not a {'folder' if is_folder else 'file'}")
            return
        above = next(folder for folder in target.parents if folder.is_dir())
        if above != Path("/") and not any(above.is_relative_to(own) for own in self._own):
            self._shadow(above)
        if is_folder:
            target.mkdir(0o755, parents=True)
        else:
            target.parent.mkdir(0o755, parents=True, exist_ok=True)
            target.touch(0o644)

    def _shadow(self, folder: Path) -> None:
        self._shadows += 1
        shadow = _SHADOWS / str(self._shadows)
        shadow.mkdir(mode=stat.S_IMODE(folder.stat().st_mode))
        _rebuild(folder, shadow)
        mount(str(shadow), str(folder), flags=BIND | RECURSIVE)
        self._own.append(folder)


def _rebuild(source: Path, target: Path, *, skip: frozenset[str] = frozenset()) -> None:
    with os.scandir(source) as found:
        entries = [entry for entry in found if entry.name not in skip]
    if len(entries) > _MOST_ENTRIES:
        raise OSError(7, f"{source} has over {_MOST_ENTRIES} entries: mount at a path that exists, or elsewhere")
    for entry in entries:
        place = target / entry.name
        if entry.is_symlink():
            place.symlink_to(Path(entry.path).readlink())
            continue
        # What this user may not even look at, the pod does without.
        with contextlib.suppress(PermissionError):
            _bind(Path(entry.path), place, is_folder=entry.is_dir())


def _add_devices(folder: Path) -> None:
    for name in _DEVICES:
        _bind(Path("/dev", name), folder / name)
    # The host's: terminals are opened outside and handed in.
    _bind(Path("/dev/pts"), folder / "pts", is_folder=True)
    for name, target in _DEVICE_LINKS.items():
        (folder / name).symlink_to(target)
    (folder / "shm").mkdir()
    (folder / "shm").chmod(0o1777)


def _bind(source: Path, target: Path, *, is_folder: bool = False) -> None:
    if is_folder:
        target.mkdir()
    else:
        target.touch()
    mount(str(source), str(target), flags=BIND | RECURSIVE)


def _make_read_only(target: Path) -> None:
    # The flags of the mount it comes from stay: without root, the kernel refuses to drop them.
    flags = os.statvfs(target).f_flag
    kept = flags & _KEPT_FLAGS
    if flags & os.ST_RELATIME:
        kept |= RELATIVE_ATIME
    mount("", str(target), flags=REMOUNT | BIND | READ_ONLY | kept)
