"""Names made of other names."""

import base64
import hashlib

import pytest

from isthmus.kit.names import hashed, lower_base32hex


@pytest.mark.parametrize("data", [b"", b"f", b"fo", b"foo", b"foob", b"fooba", b"foobar", bytes(range(32))])
def test_base32hex_is_that_of_rfc_4648_in_lower_case_without_padding(data: bytes) -> None:
    assert lower_base32hex(data) == base64.b32hexencode(data).decode().lower().rstrip("=")


def test_the_catalogues_example_of_a_derived_name() -> None:
    assert lower_base32hex(hashlib.sha256(b"default/my-svc").digest())[:10] == "b8s174v3sn"


def test_long_names_fit_and_stay_apart() -> None:
    names = {hashed("a" * 300, str(number), limit=63) for number in range(100)}
    assert len(names) == 100
    assert {len(name) for name in names} == {63}


def test_the_same_letters_split_elsewhere_are_another_name() -> None:
    assert hashed("a-b", "c") != hashed("a", "b-c")
    assert hashed("a-b", "c") == hashed("a-b", "c")
