"""Helm, as it is typed: on charts in a folder, and on one cluster."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from isthmus.api.scheme import Manifest
from tests.real.build import HELM

# Seconds.
_ENDS_WITHIN = 100.0


@dataclass(frozen=True)
class Helm:
    """A Helm that keeps its own files in `home`, and knows the cluster of one kubeconfig."""

    home: Path
    kubeconfig: Path | None = None

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Begin a command; its output goes to one pipe."""
        own = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        config = {"KUBECONFIG": str(self.kubeconfig or self.home / "none")}
        return subprocess.Popen(
            [HELM.path, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | own | config,
        )

    def typed(self, *words: str) -> tuple[int, str]:
        """The exit code of a command, and what it said."""
        with self.start(*words) as process:
            said, _ = process.communicate(timeout=_ENDS_WITHIN)
        return process.returncode, said

    def done(self, *words: str) -> str:
        """What a command said that had to go well."""
        code, said = self.typed(*words)
        assert code == 0, said
        return said

    def printed(self, *words: str) -> Iterator[Manifest]:
        """The objects that `helm template` prints."""
        for document in yaml.safe_load_all(self.done("template", "a-release", *words)):
            if document is not None:
                yield document


def helm_at(home: Path, kubeconfig: Path | None = None) -> Helm:
    """Helm, or a skipped test where it has not been built."""
    if not HELM.path.exists():
        pytest.skip("no Helm here. Type: make real")
    return Helm(home, kubeconfig)
