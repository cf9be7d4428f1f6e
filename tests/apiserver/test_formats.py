"""Formats of text that custom resources may ask for."""

import pytest

from isthmus.apiserver.formats import fits


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("date-time", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789+01:00"], ["2026-01-02", "yesterday", ""]),
        ("date", ["2026-01-02"], ["2026-13-01", "x"]),
        ("duration", ["1h30m", "22 ns", "1.5s"], ["", "x", "1"]),
        ("ipv4", ["10.0.0.1"], ["10.0.0", "::1", "010.0.0.1"]),
        ("ipv6", ["::1", "fd00::1"], ["10.0.0.1", ":::"]),
        ("cidr", ["10.0.0.0/8", "fd00::/64"], ["10.0.0.0", "10.0.0.0/33"]),
        ("uri", ["http://x/y", "/x"], ["x y", ""]),
        ("email", ["a@b.c"], ["a", "@"]),
        ("hostname", ["a.b-c"], ["-", "a" * 256]),
        ("mac", ["00:11:22:33:44:55"], ["00:11:22:33:44"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["x"]),
        ("uuid4", ["123e4567-e89b-42d3-a456-426614174000"], ["123e4567-e89b-12d3-a456-426614174000"]),
        ("byte", ["aGk="], ["%%%", "a"]),
        ("k8s-short-name", ["a-b"], ["A", "a" * 64, "-a"]),
        ("k8s-long-name", ["a.b-c"], ["a..b"]),
        ("password", ["anything"], []),
        ("nobody-knows-it", ["anything"], []),
    ],
)
def test_a_format_is_fitted_or_not(name: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes if not fits(text, name)] == []
    assert [text for text in no if fits(text, name)] == []
