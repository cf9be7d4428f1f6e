"""The images of node clusters, made of this machine's own programs: no registry, no engine.

Each is an archive in the cache, made again when one of the files in it changes.
"""

import importlib.metadata
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import isthmus
from isthmus.api.scheme import Manifest
from tests.real import build
from tests.real.oci import Entries, Entry, Link, key, write_archive, write_layer

PAUSE, COREDNS, TOOLS = "localhost/pause:1", "localhost/coredns:1", "localhost/tools:1"
IMAGE = f"localhost/isthmus:{isthmus.__version__}"
USER = "65532"
FOLDER = build.CACHE / "images"
KEPT = 3

# What the images hold of this machine's programs, and those that go by another name here.
PROGRAMS = """
bash cat cp curl cut date dig echo env false getent grep head hostname id ip kill ls mkdir mv nslookup printf ps rm sed
seq sh sleep socat sort ss tail tee test timeout touch tr true uniq wc xargs
"""
OTHERWISE = {"awk": "mawk", "nc": "nc.openbsd"}
PATH = "PATH=/usr/local/bin:/usr/bin"
OURS = "usr/local/lib/isthmus"
BASE: Entries = {
    "bin": Link("usr/bin"),
    "sbin": Link("usr/bin"),
    "lib": Link("usr/lib"),
    "lib64": Link("usr/lib64"),
    **dict.fromkeys(("tmp", "run", "proc", "sys", "dev", "usr/bin"), None),
    "etc/passwd": b"root:x:0:0:root:/:/bin/sh\nisthmus:x:65532:65532:isthmus:/:/bin/sh\n",
    "etc/group": b"root:x:0:\nisthmus:x:65532:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
}
# Parts of Python's library that no server imports.
UNUSED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "__pycache__"}
UNUSED |= {Path(sysconfig.get_config_var("LIBPL")).name}
ENTRY = b"""#!/usr/local/bin/python3
from isthmus.cli.main import main

main()
"""


def all_images() -> Iterator[Path]:
    """Every image that a node is given, built if need be."""
    for image in (pause_image, coredns_image, tools_image, isthmus_image):
        yield image()


def pause_image() -> Path:
    """What holds a pod's namespaces."""
    program: Entries = {"pause": build.PAUSE.build()}
    return _image("pause", PAUSE, [_layer("pause", program)], {"Entrypoint": ["/pause"]})


def coredns_image() -> Path:
    """The cluster's name server."""
    program: Entries = {"coredns": build.COREDNS.build()}
    return _image("coredns", COREDNS, [_layer("coredns", program)], {"Entrypoint": ["/coredns"]})


def tools_image() -> Path:
    """A shell, Python, and what one asks a network with."""
    return _image("tools", TOOLS, [_base()], {"Env": [PATH], "Cmd": ["/bin/sh"]})


def isthmus_image() -> Path:
    """Isthmus with the Python and the dependencies that run here, on top of the tools; runs as USER."""
    config = {
        "Env": [PATH, f"PYTHONPATH=/{OURS}", "PYTHONDONTWRITEBYTECODE=1"],
        "Entrypoint": ["isthmus"],
        "User": f"{USER}:{USER}",
    }
    code = _python_files(Path(isthmus.__file__).parent, f"{OURS}/isthmus")
    ours: Entries = {**code, "usr/local/bin/isthmus": ENTRY}
    layers = [_base(), _layer("dependencies", _dependencies(), _complete), _layer("code", ours, _compiled)]
    return _image("isthmus", IMAGE, layers, config)


def _base() -> Path:
    library = Path(sysconfig.get_path("stdlib"))
    interpreter = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python: Entries = {
        f"usr/local/bin/{interpreter}": Path(sys.base_prefix, "bin", interpreter).resolve(),
        "usr/local/bin/python3": Link(interpreter),
        **_python_files(library, f"usr/local/lib/{interpreter}"),
    }
    return _layer("base", {**BASE, **dict(_programs()), **python}, _complete)


def _programs() -> Iterator[tuple[str, Entry]]:
    for name, program in {**{name: name for name in PROGRAMS.split()}, **OTHERWISE}.items():
        if found := shutil.which(program):
            yield f"usr/bin/{name}", Path(found).resolve()


def _python_files(folder: Path, at: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for path, folders, files in os.walk(folder):
        folders[:] = set(folders) - UNUSED
        inside = Path(at, Path(path).relative_to(folder))
        entries |= {str(inside / name): Path(path, name) for name in files if not name.startswith("_tkinter")}
    return entries


def _dependencies() -> Entries:
    """The installed files of everything that Isthmus needs to run, but for `isthmus up`."""
    project = tomllib.loads((build.SOURCES.parents[2] / "pyproject.toml").read_text())["project"]
    entries: dict[str, Entry] = {}
    names, seen = _names(project["dependencies"]), set[str]()
    while names:
        name = names.pop()
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # needed on other systems or older Pythons only
        names += [need for need in _names(found.requires or ()) if need not in seen]
        files = (path for path in found.files or () if not {"..", "__pycache__"} & set(path.parts))
        entries |= {f"{OURS}/{path}": Path(str(found.locate_file(path))) for path in files}
    return entries


def _names(requirements: Iterable[str]) -> list[str]:
    always = (line for line in requirements if "extra" not in line.partition(";")[2])
    return [name[0].lower() for line in always if (name := re.match(r"[\w.-]+", line))]


def _compiled(entries: Entries) -> Entries:
    """With bytecode, which Python takes without a look at the source's time."""
    added: dict[str, Entry] = {}
    for path, entry in entries.items():
        if isinstance(entry, Path) and entry.suffix == ".py" and (code := _bytecode(entry, path)):
            name = f"{entry.stem}.{sys.implementation.cache_tag}.pyc"
            added[f"{Path(path).parent}/__pycache__/{name}"] = code
    return {**entries, **added}


def _bytecode(file: Path, path: str) -> bytes:
    with tempfile.NamedTemporaryFile() as target:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(file), target.name, f"/{path}", quiet=2, invalidation_mode=mode)
        return Path(target.name).read_bytes()


def _complete(entries: Entries) -> Entries:
    """With bytecode, and with the shared libraries that programs and modules are linked to."""
    linked = [str(entry) for entry in entries.values() if isinstance(entry, Path) and _is_linked(entry)]
    told = subprocess.run(["ldd", *linked], capture_output=True, text=True, check=False).stdout
    inside = {str(entry) for entry in entries.values()}
    libraries = set(re.findall(r"(/\S+) \(0x", told)) - inside
    return {**_compiled(entries), **{_merged(library): Path(library).resolve() for library in libraries}}


def _is_linked(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def _merged(path: str) -> str:
    # /lib and /usr/lib are one in our images.
    return re.sub(r"^/(?:usr/)?(lib\w*)/", r"usr/\1/", path).lstrip("/")


def _layer(name: str, entries: Entries, finish: Callable[[Entries], Entries] = lambda entries: entries) -> Path:
    return _cached(name, key(entries), lambda target: write_layer(target, finish(entries)))


def _image(name: str, reference: str, layers: Sequence[Path], config: Manifest) -> Path:
    parts = [reference, repr(config), *(layer.name for layer in layers)]
    state = key({str(number): part.encode() for number, part in enumerate(parts)})
    return _cached(f"{name}-image", state, lambda target: write_archive(target, reference, layers, config))


def _cached(name: str, state: str, write: Callable[[Path], None]) -> Path:
    target = FOLDER / f"{name}-{state}.tar"
    if target.exists():
        target.touch()
    else:
        FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}")
        write(unfinished)
        unfinished.rename(target)
    for old in sorted(FOLDER.glob(f"{name}-????????????????.tar"), key=lambda file: -file.stat().st_mtime)[KEPT:]:
        old.unlink()
    return target
