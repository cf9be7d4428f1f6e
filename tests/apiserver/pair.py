"""Requests to a real server, with a client certificate, and the JSON that comes back."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import cast

import yaml

from isthmus.api.scheme import Manifest

JSON = "application/json"
LIMIT = 20.0


class Sender:
    """Sends requests to one server, with a client certificate."""

    def __init__(self, kubeconfig: Manifest, folder: Path) -> None:
        cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
        files = {
            name: _file(source, name, folder)
            for source in (cluster, user)
            for name in ("certificate-authority", "client-certificate", "client-key")
            if name in source or f"{name}-data" in source
        }
        self.url = cluster["server"]
        self._tls = ssl.create_default_context(cafile=files["certificate-authority"])
        self._tls.load_cert_chain(files["client-certificate"], files["client-key"])

    def send(self, method: str, path: str, body: object = None, media: str = JSON) -> tuple[int, Manifest]:
        """The code and the object that came back."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Content-Type", media)
        request.add_header("User-Agent", "tests/1")
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=LIMIT) as answer:
                return answer.status, cast("Manifest", json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, cast("Manifest", json.loads(text) if text.startswith(b"{") else {"message": text})


def _file(source: Manifest, name: str, folder: Path) -> str:
    if name in source:
        return str(source[name])
    path = folder / name
    path.write_bytes(base64.b64decode(source[f"{name}-data"]))
    return str(path)


def read_kubeconfig(path: Path) -> Manifest:
    """The kubeconfig in a file."""
    return cast("Manifest", yaml.safe_load(path.read_text()))
