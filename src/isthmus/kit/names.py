"""Names made of other names: the same on every machine, and never longer than allowed."""

import hashlib

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"


def lower_base32hex(data: bytes) -> str:
    """RFC 4648 base32hex in lower case, without padding."""
    bits = int.from_bytes(data, "big") << (-8 * len(data) % 5)
    digits = -(-8 * len(data) // 5)
    return "".join(_ALPHABET[bits >> 5 * place & 31] for place in reversed(range(digits)))


def digest(*parts: str) -> str:
    """SHA-256 over the parts, joined by slashes, in lower base32hex: 52 characters."""
    return lower_base32hex(hashlib.sha256("/".join(parts).encode()).digest())


def hashed(*parts: str, limit: int = 253) -> str:
    """The parts joined by dashes, cut to fit, then a dash and ten characters of their digest.

    The digest is always there: `a-b` and `c` must not get the name of `a` and `b-c`.
    """
    tail = "-" + digest(*parts)[:10]
    return "-".join(parts)[: limit - len(tail)].rstrip("-.") + tail
