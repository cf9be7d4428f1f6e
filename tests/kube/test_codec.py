"""Objects out of bytes: nulls, repeated strings, and what is set aside."""

import pytest

from isthmus.api import core
from isthmus.api.core import EndpointSlice
from isthmus.kube.codec import MALFORMED, Codec, Undecodable, key_of, version_of

SLICES = Codec(core.ENDPOINT_SLICES)
MAPS = Codec(core.CONFIG_MAPS)


def test_null_is_the_same_as_absent() -> None:
    raw = b'{"metadata":{"name":"a","labels":null},"endpoints":null,"ports":[{"name":null,"port":80}]}'
    decoded = SLICES.decode(raw)
    assert decoded.endpoints == ()
    assert decoded.metadata.labels == {}
    assert [port.port for port in decoded.ports] == [80]


def test_null_does_not_excuse_what_is_wrong_elsewhere() -> None:
    with pytest.raises(MALFORMED):
        SLICES.decode(b'{"endpoints":null,"addressType":5}')


def test_whole_manifests_keep_their_nulls() -> None:
    assert MAPS.decode(b'{"metadata":{"name":"a"},"data":null}')["data"] is None


def test_every_object_knows_its_kind() -> None:
    assert SLICES.decode(b"{}").kind == "EndpointSlice"
    assert MAPS.decode(b"{}") == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}


def test_the_same_namespace_is_one_string() -> None:
    first, second = (SLICES.decode(b'{"metadata":{"namespace":"production"}}') for _ in range(2))
    assert first.metadata.namespace is second.metadata.namespace


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b'{"metadata":{"name":"a","namespace":"x","resourceVersion":"7"},"endpoints":3}', ("x", "a")),
        (b'{"metadata":{"name":"a"},"addressType":{}}', ("", "a")),
        (b'{"metadata":{"name":3}}', ("", "(item 4)")),
        (b'{"metadata":[]}', ("", "(item 4)")),
        (b"3", ("", "(item 4)")),
        (b'{"addressType":"\xff"}', ("", "")),
        (b'{"endpoints":' + b"[" * 100_000, ("", "(item 4)")),
    ],
)
def test_what_cannot_be_read_is_set_aside_under_its_name(raw: bytes, key: tuple[str, str]) -> None:
    seen = SLICES.attempt(raw, 4)
    assert isinstance(seen, Undecodable)
    assert seen.key == key
    assert seen.reason


def test_a_manifest_whose_metadata_is_none_is_set_aside() -> None:
    assert isinstance(MAPS.attempt(b'{"metadata":[]}'), Undecodable)


def test_a_key_is_read_from_structs_and_manifests() -> None:
    manifest = {"metadata": {"name": "a", "namespace": "x", "resourceVersion": "7"}}
    raw = b'{"metadata":{"name":"a","namespace":"x","resourceVersion":"7"}}'
    for item in (manifest, SLICES.decode(raw)):
        assert key_of(item) == ("x", "a")
        assert version_of(item) == "7"
    assert key_of(EndpointSlice()) == ("", "")
