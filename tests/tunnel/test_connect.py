"""Heads of CONNECT requests, taken apart."""

import base64

import pytest

from isthmus.errors import Refused
from isthmus.tunnel.connect import Asked, address, answer, asked, refusal


def head(*lines: str) -> bytes:
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def user(text: str) -> str:
    return f"Proxy-Authorization: Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("sent", "want"),
    [
        pytest.param(
            head("CONNECT west.example:6443 HTTP/1.1", "Host: west.example:6443", user("west:")),
            Asked("west", "west.example", 6443),
            id="a user without a password",
        ),
        pytest.param(
            head("CONNECT WEST.example:443 HTTP/1.0", user("west:secret").replace("Basic", "bASIC")),
            Asked("west", "west.example", 443),
            id="names and schemes are of any case, passwords mean nothing",
        ),
        pytest.param(
            head("CONNECT west.example:443 HTTP/1.1", user("west").replace("Basic", "\t Basic ") + " \t"),
            Asked("west", "west.example", 443),
            id="white space before and after",
        ),
        pytest.param(
            head("CONNECT [FD00::1]:6443 HTTP/1.1", user("west")), Asked("west", "fd00::1", 6443), id="an IPv6 address"
        ),
    ],
)
def test_what_a_consumer_asks_for(sent: bytes, want: Asked) -> None:
    assert asked(sent) == want


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(head(""), 400, id="nothing"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, id="TLS"),
        pytest.param(head("CONNECT west.example:443", user("west")), 400, id="no version"),
        pytest.param(head("CONNECT west.example:443 HTTP/2.0", user("west")), 400, id="another version"),
        pytest.param(head("CONNECT  west.example:443 HTTP/1.1", user("west")), 400, id="two spaces"),
        pytest.param(head("CONNECT west.example HTTP/1.1", user("west")), 400, id="no port"),
        pytest.param(head("CONNECT west.example:100443 HTTP/1.1", user("west")), 400, id="no port that can be"),
        pytest.param(head("CONNECT west@west.example:443 HTTP/1.1", user("west")), 400, id="a user in the target"),
        pytest.param(head("CONNECT west.example:443 HTTP/1.1", " folded", user("west")), 400, id="a folded line"),
        pytest.param(head("CONNECT west.example:443 HTTP/1.1", "Host : x", user("west")), 400, id="space in a name"),
        pytest.param(head("CONNECT west.example:443 HTTP/1.1", "X: a\nb", user("west")), 400, id="a bare line feed"),
        pytest.param(head("CONNECT west.example:443 HTTP/1.1", user("west"), user("west")), 400, id="twice"),
        pytest.param(
            head("CONNECT west.example:443 HTTP/1.1", "Proxy-Authorization: Basic ?"), 400, id="a user that is none"
        ),
        pytest.param(head("CONNECT west.example:443 HTTP/1.1", user("wést")), 400, id="a user beyond ASCII"),
        pytest.param(head("GET http://west.example/ HTTP/1.1", user("west")), 405, id="another method"),
        pytest.param(head("CONNECT west.example:443 HTTP/1.1"), 407, id="nobody"),
        pytest.param(
            head("CONNECT west.example:443 HTTP/1.1", "Proxy-Authorization: Bearer x"), 407, id="another scheme"
        ),
    ],
)
def test_what_is_turned_away(sent: bytes, code: int) -> None:
    with pytest.raises(Refused) as refused:
        asked(sent)
    assert refused.value.code == code


def test_an_answer_says_why_and_what_else_its_status_needs() -> None:
    told = answer(refusal(407, "who?")).decode()
    assert told.startswith("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic")
    assert told.endswith("Content-Length: 5\r\nConnection: close\r\n\r\nwho?\n")
    assert "Allow: CONNECT" in answer(refusal(405, "no")).decode()


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("https://West.example", ("west.example", 443)),
        ("http://west.example", ("west.example", 80)),
        ("https://[FD00::1]:6443/", ("fd00::1", 6443)),
    ],
)
def test_where_an_api_server_is(url: str, want: tuple[str, int]) -> None:
    assert address(url) == want
