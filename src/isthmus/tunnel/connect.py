"""What a consumer asks of the proxy server: the head of a CONNECT request, hostile until parsed, and its answer.

RFC 9110, section 9.3.6; RFC 9112, sections 2 to 5; the member is named as a proxy's user is, RFC 7617.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from isthmus.errors import Refused

MAX_HEAD: Final = 8192
END: Final = b"\r\n\r\n"
CONNECTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE: Final = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/1\.[01]" % _TOKEN)
_FIELD: Final = re.compile(rb"(%s):[ \t]*([^\r\n\0]*)" % _TOKEN)
_TARGET: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+):([0-9]{1,5})")
# What an answer needs besides, by its status.
_NEEDED: Final = {405: "Allow: CONNECT\r\n", 407: 'Proxy-Authenticate: Basic realm="member"\r\n'}


@dataclass(frozen=True)
class Asked:
    """A connection to a member's API server, by the member's name and the address that it publishes."""

    member: str
    host: str
    port: int


def refusal(code: int, sentence: str) -> Refused:
    """What a request is turned away with."""
    return Refused(code=code, reason="", message=sentence)


def asked(head: bytes) -> Asked:
    """What the head of a request, with its empty line, asks for. Raises Refused."""
    first, *rest = head.removesuffix(END).split(b"\r\n")
    line = _LINE.fullmatch(first)
    fields = [_FIELD.fullmatch(each) for each in rest]
    if line is None or None in fields:
        raise refusal(400, "this is no HTTP/1.1 request")
    if line[1] != b"CONNECT":
        raise refusal(405, "this is a proxy for CONNECT alone: name it as proxy-url of an https address")
    target = _TARGET.fullmatch(line[2])
    if target is None:
        raise refusal(400, "the target is not of the form HOST:PORT")
    users = [each[2] for each in fields if each is not None and each[1].lower() == b"proxy-authorization"]
    return Asked(_user(users), _bare(target[1].decode()), int(target[2]))


def address(url: str) -> tuple[str, int]:
    """Host and port of an API server's URL."""
    parts = urlsplit(url)
    return _bare(parts.hostname or ""), parts.port or (443 if parts.scheme == "https" else 80)


def answer(refused: Refused) -> bytes:
    """The answer to a request that is turned away: the sentence, and the end of the connection."""
    body = f"{refused.message}\n".encode()
    head = (
        f"HTTP/1.1 {refused.code} {HTTPStatus(refused.code).phrase}\r\n{_NEEDED.get(refused.code, '')}"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _user(users: list[bytes]) -> str:
    scheme, _, encoded = users[0].partition(b" ") if users else (b"", b"", b"")
    if scheme.lower() != b"basic":
        raise refusal(407, "say which member is meant, by the user name in proxy-url: http://MEMBER@HOST:PORT")
    if len(users) > 1:
        raise refusal(400, "there is more than one Proxy-Authorization")
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")[0]
    except (binascii.Error, ValueError):
        raise refusal(400, "Proxy-Authorization cannot be read") from None


def _bare(host: str) -> str:
    return host.strip("[]").lower()
