import click
import pytest

from isthmus.cli.processes import Address

DNS = Address(53)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("10.0.0.1:5353", ("10.0.0.1", 5353)),
        ("10.0.0.1", ("10.0.0.1", 53)),
        ("[fd00::1]:5353", ("fd00::1", 5353)),
        ("fd00::1", ("fd00::1", 53)),
        ("[::]:53", ("::", 53)),
        (":8080", ("", 8080)),
    ],
)
def test_an_address_to_listen_on(text: str, want: tuple[str, int]) -> None:
    assert DNS.convert(text, None, None) == want


@pytest.mark.parametrize("text", ["", "host:53", "10.0.0.1:x", "10.0.0.1:70000", "10.0.0.1:-1", "10.0.0.256", ":"])
def test_what_is_no_address_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write ADDRESS"):
        DNS.convert(text, None, None)
