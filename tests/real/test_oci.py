"""Images made without an engine: the same entries make the same bytes, laid out as containerd reads them."""

import hashlib
import json
import tarfile
from pathlib import Path

from tests.real.oci import Entries, Link, key, write_archive, write_layer

ENTRIES: Entries = {
    "usr/bin/tool": b"#!/bin/sh\necho hello\n",
    "etc/words": b"words",
    "bin": Link("usr/bin"),
    "tmp": None,
}


def test_a_layer_has_folders_links_and_programs(tmp_path: Path) -> None:
    write_layer(tmp_path / "layer.tar", ENTRIES)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        seen = {item.name: (item.isdir(), item.linkname, oct(item.mode), item.mtime) for item in tar}
    assert seen == {
        "etc": (True, "", "0o755", 0),
        "tmp": (True, "", "0o1777", 0),
        "usr": (True, "", "0o755", 0),
        "usr/bin": (True, "", "0o755", 0),
        "bin": (False, "usr/bin", "0o644", 0),
        "etc/words": (False, "", "0o644", 0),
        "usr/bin/tool": (False, "", "0o755", 0),
    }


def test_the_same_entries_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_layer(tmp_path / f"{name}.layer", dict(sorted(ENTRIES.items(), reverse=name == "second")))
        write_archive(tmp_path / name, "localhost/tool:1", [tmp_path / f"{name}.layer"], {"Cmd": ["tool"]})
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_an_archive_names_its_image_and_every_blob_has_its_digest(tmp_path: Path) -> None:
    write_layer(tmp_path / "layer", ENTRIES)
    write_archive(tmp_path / "image", "localhost/tool:1", [tmp_path / "layer"], {"Cmd": ["tool"]})
    with tarfile.open(tmp_path / "image") as tar:
        files = {item.name: file.read() for item in tar if (file := tar.extractfile(item))}
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/sha256/")}
    assert len(blobs) == 3
    assert all(name.endswith(hashlib.sha256(content).hexdigest()) for name, content in blobs.items())
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/tool:1"
    manifest = json.loads(blobs[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"])
    config = json.loads(blobs[f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"])
    assert config["config"] == {"Cmd": ["tool"]}
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_a_key_changes_with_the_file_behind_an_entry(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    before = key({"file": file})
    assert key({"file": file}) == before
    file.write_text("three")
    assert key({"file": file}) != before
