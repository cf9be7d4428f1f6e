import pytest

from isthmus.kit.text import printable


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("größer als 1 \\ 'x'", "größer als 1 \\ 'x'", id="what people write"),
        pytest.param("v1\x1b[2J", "v1\\x1b[2J", id="orders to a terminal"),
        pytest.param("x\nHealth: Healthy\r\t", "x\\nHealth: Healthy\\r\\t", id="lines of one's own"),
        pytest.param("u-\u202etsew", "u-\\u202etsew", id="text that runs backwards"),
        pytest.param("\x9b2J\ud800", "\\x9b2J\\ud800", id="orders in one byte, half characters"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, want: str) -> None:
    assert printable(text) == want
