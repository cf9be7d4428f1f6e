"""Container images without an engine: layers and archives as the OCI Image Format Specification has them.

Layers are not compressed: nodes read them from the same disk. The same entries make the same bytes.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from isthmus.api.scheme import Manifest

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CREATED = "2026-01-01T00:00:00Z"
SHARED_FOLDERS = {"tmp"}


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    to: str


# What lies at a path of an image: a file of this machine, these bytes, a link, or an empty folder (None).
Entry = Path | bytes | Link | None
Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class Blob:
    """Content by its digest: a file of this machine, or bytes."""

    content: Path | bytes

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def key(entries: Entries) -> str:
    """Changes whenever any of the files behind the entries does."""
    digest = hashlib.sha256()
    for path, entry in sorted(entries.items()):
        digest.update(f"{path} {_state(entry)}\n".encode())
    return digest.hexdigest()[:16]


def _state(entry: Entry) -> str:
    if isinstance(entry, Path):
        state = entry.stat()
        return f"{entry} {state.st_size} {state.st_mtime_ns}"
    return repr(entry)


def write_layer(target: Path, entries: Entries) -> None:
    """One tar file with all entries and the folders that they lie in."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder in _folders(entries):
            item = tarfile.TarInfo(folder)
            item.type, item.mode = tarfile.DIRTYPE, 0o1777 if folder in SHARED_FOLDERS else 0o755
            tar.addfile(item)
        for path, entry in sorted(entries.items()):
            _add(tar, path, entry)


def _folders(entries: Entries) -> list[str]:
    empty = {path for path, entry in entries.items() if entry is None}
    above = {str(folder) for path in entries for folder in Path(path).parents}
    return sorted((empty | above) - {"."})


def _add(tar: tarfile.TarFile, path: str, entry: Entry) -> None:
    item = tarfile.TarInfo(path)
    if isinstance(entry, Link):
        item.type, item.linkname = tarfile.SYMTYPE, entry.to
        tar.addfile(item)
    elif isinstance(entry, bytes):
        item.size, item.mode = len(entry), 0o755 if entry.startswith(b"#!") else 0o644
        tar.addfile(item, io.BytesIO(entry))
    elif isinstance(entry, Path):
        item.size, item.mode = entry.stat().st_size, 0o755 if os.access(entry, os.X_OK) else 0o644
        with entry.open("rb") as file:
            tar.addfile(item, file)


def write_archive(target: Path, name: str, layers: Sequence[Path], config: Manifest) -> None:
    """An OCI image layout in one tar file, which containerd imports under `name`."""
    with tarfile.open(target, "w") as tar:
        for path, blob in _layout(name, [Blob(layer) for layer in layers], config):
            item = tarfile.TarInfo(path)
            item.size = blob.size
            with io.BytesIO(blob.content) if isinstance(blob.content, bytes) else blob.content.open("rb") as file:
                tar.addfile(item, file)


def _layout(name: str, layers: Sequence[Blob], config: Manifest) -> Iterator[tuple[str, Blob]]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    platform = {"architecture": machine, "os": "linux"}
    contents = [f"sha256:{layer.digest}" for layer in layers]
    facts = {"created": CREATED, **platform, "config": config, "rootfs": {"type": "layers", "diff_ids": contents}}
    settings = _json(facts)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _reference(settings, CONFIG),
            "layers": [_reference(layer, LAYER) for layer in layers],
        }
    )
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [{**_reference(manifest, MANIFEST), "annotations": names}]}
    yield "oci-layout", _json({"imageLayoutVersion": "1.0.0"})
    yield "index.json", _json(index)
    for blob in (settings, manifest, *layers):
        yield f"blobs/sha256/{blob.digest}", blob


def _json(value: object) -> Blob:
    return Blob(json.dumps(value).encode())


def _reference(blob: Blob, media_type: str) -> Manifest:
    return {"mediaType": media_type, "digest": f"sha256:{blob.digest}", "size": blob.size}
