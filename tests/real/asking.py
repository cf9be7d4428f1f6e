"""Asking the API server of a real cluster while it starts: plainly, with its admin's certificate."""

import contextlib
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from isthmus.api.scheme import Manifest


class Server:
    """An API server whose `ca.crt`, `admin.crt` and `admin.key` lie in `folder`."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        self._trusted.load_cert_chain(folder / "admin.crt", folder / "admin.key")

    def is_ready(self) -> bool:
        """Whether it answers, and says that it is ready."""
        with contextlib.suppress(OSError):
            self._send("GET", "/readyz")
            return True
        return False

    def get(self, path: str) -> Manifest:
        """The object at a path; {} while there is none, or no answer."""
        with contextlib.suppress(OSError):
            found: Manifest = json.loads(self._send("GET", path))
            return found
        return {}

    def create(self, path: str, manifest: Manifest) -> None:
        """Make an object, or leave the one that is there."""
        if self.get(f"{path}/{manifest['metadata']['name']}"):
            return
        try:
            self._send("POST", path, manifest)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise RuntimeError(f"{path}: {error.read().decode()}") from error

    def _send(self, method: str, path: str, body: Manifest | None = None) -> bytes:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, context=self._trusted, timeout=5) as answer:
            content: bytes = answer.read()
            return content
