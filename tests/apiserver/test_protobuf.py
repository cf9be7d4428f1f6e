import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.scheme import Manifest
from isthmus.apiserver.protobuf import MAGIC, Malformed, decode


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value & ((1 << 64) - 1))


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def text(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, message: bytes) -> bytes:
    return MAGIC + text(1, text(1, api_version) + text(2, kind)) + text(2, message)


META = text(1, text(1, "a") + text(11, text(1, "k") + text(2, "v")) + text(8, number(1, 1_900_000_000)))


@pytest.mark.parametrize(
    ("kind", "message", "told"),
    [
        pytest.param(
            ("v1", "ConfigMap"),
            META + text(2, text(1, "x") + text(2, "y")) + text(3, text(1, "b") + text(2, b"\x00")) + number(4, 1),
            {"data": {"x": "y"}, "binaryData": {"b": "AA=="}, "immutable": True},
            id="maps, bytes, truth",
        ),
        pytest.param(
            ("v1", "Service"),
            META + text(2, text(1, number(3, 80) + text(4, number(1, 1) + text(3, "http"))) + text(3, "10.0.0.1")),
            {"spec": {"ports": [{"port": 80, "targetPort": "http"}], "clusterIP": "10.0.0.1"}},
            id="numbers that may be names",
        ),
        pytest.param(
            ("v1", "Pod"),
            META
            + text(
                2,
                text(1, text(1, "v") + text(2, text(2, b"")))
                + text(2, text(1, "c") + text(8, text(1, text(1, "cpu") + text(2, text(1, "100m")))))
                + number(4, -1),
            ),
            {
                "spec": {
                    "volumes": [{"name": "v", "emptyDir": {}}],
                    "containers": [{"name": "c", "resources": {"limits": {"cpu": "100m"}}}],
                    "terminationGracePeriodSeconds": -1,
                }
            },
            id="messages within messages, quantities, negative numbers",
        ),
        pytest.param(
            ("coordination.k8s.io/v1", "Lease"),
            META + text(2, text(4, number(1, 1_900_000_000) + number(2, 5000))),
            {"spec": {"renewTime": "2030-03-17T17:46:40.000005Z"}},
            id="moments",
        ),
    ],
)
def test_built_in_kinds_are_read(kind: tuple[str, str], message: bytes, told: Manifest) -> None:
    metadata = {"name": "a", "labels": {"k": "v"}, "creationTimestamp": "2030-03-17T17:46:40Z"}
    assert decode(body(*kind, message)) == {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, **told}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="JSON"),
        pytest.param(body("v1", "Nothing", b""), id="unknown kind"),
        pytest.param(body("v1", "Pod", META)[:-3], id="cut short"),
        pytest.param(body("v1", "Pod", b"\xff" * 20), id="an endless number"),
        pytest.param(body("v1", "Pod", number(1, 5)), id="a number where a message belongs"),
        pytest.param(body("v1", "Pod", text(1, text(1, b"\xff"))), id="text that is none"),
        pytest.param(body("v1", "Pod", struct.pack("<B", 3)), id="a wire type that is none"),
    ],
)
def test_what_cannot_be_read_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        found = decode(body("v1", "Pod", data))
    except Malformed:
        return
    assert found["kind"] == "Pod"
