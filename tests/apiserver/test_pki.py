import ssl
from pathlib import Path

import pytest

from isthmus.apiserver.pki import PKI
from isthmus.errors import Invalid


def test_keys_are_made_once_and_the_owner_alone_reads_them(tmp_path: Path) -> None:
    made = PKI.create(tmp_path / "pki", "east", ["127.0.0.1"])
    before = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    PKI.create(tmp_path / "pki", "east", ["127.0.0.1"])
    assert {path.name: path.read_bytes() for path in made.folder.iterdir()} == before
    assert all(path.stat().st_mode & 0o077 == 0 for path in made.folder.glob("*.key"))


def test_a_new_address_is_added_to_those_the_certificate_has(tmp_path: Path) -> None:
    PKI.create(tmp_path, "east", ["127.0.0.1", "10.0.0.1"])
    made = PKI.create(tmp_path, "east", ["localhost", "127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(made.ca)
    names = ssl._ssl._test_decode_cert(str(made.serving[0]))["subjectAltName"]  # type: ignore[attr-defined]
    assert names == (("IP Address", "127.0.0.1"), ("IP Address", "10.0.0.1"), ("DNS", "localhost"))


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"ca\.crt is missing"):
        PKI.load(tmp_path, "east")


def test_a_signature_is_of_one_key_and_one_text(tmp_path: Path) -> None:
    key = PKI.create(tmp_path / "a", "east", ["localhost"]).signing_key()
    other = PKI.create(tmp_path / "b", "west", ["localhost"]).signing_key()
    signature = key.sign(b"text")
    assert key.signed(b"text", signature)
    assert not key.signed(b"another", signature)
    assert not other.signed(b"text", signature)
    assert not key.signed(b"text", signature[:-1])
