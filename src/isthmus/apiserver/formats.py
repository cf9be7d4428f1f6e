"""The string formats that an API server checks in custom resources; all others are ignored, as there."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

HOST = re.compile(r"([a-zA-Z0-9_]([-a-zA-Z0-9_]{0,62})\.?)*[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,62})?", re.ASCII)
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
DURATION = re.compile(r"[-+]?((\d+(\.\d*)?|\.\d+)\s*(ns|us|\u00b5s|\u03bcs|ms|s|m|h|d|w)\s*)+|0")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
MAC = re.compile(
    r"([0-9a-fA-F]{2}[:-]){5}([0-9a-fA-F]{2}[:-]){0,14}[0-9a-fA-F]{2}|([0-9a-fA-F]{4}\.){2,3}[0-9a-fA-F]{4}"
)


def fits(text: str, name: str) -> bool:
    """Whether the text has the format; true for formats that nobody checks."""
    test = FORMATS.get(name.replace("-", ""))
    return test is None or test(text)


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return test


def _matches(pattern: str | re.Pattern[str], flags: re.RegexFlag = re.ASCII) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags) if isinstance(pattern, str) else pattern
    return lambda text: compiled.fullmatch(text) is not None


def _date_time(text: str) -> object:
    if not DATE_TIME.fullmatch(text):
        raise ValueError(text)
    # Python reads at most microseconds.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))


def _cidr(text: str) -> object:
    if "/" not in text:
        raise ValueError(text)
    return ipaddress.ip_interface(text)


def _uri(text: str) -> object:
    if not text.startswith("/") and not urlsplit(text).scheme:
        raise ValueError(text)
    return text


def _uuid(version: str, variant: str) -> Callable[[str], bool]:
    return _matches(UUID % (version, variant), re.ASCII | re.IGNORECASE)


FORMATS: dict[str, Callable[[str], bool]] = {
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(_cidr),
    "mac": _matches(MAC),
    "uri": _parses(_uri),
    "email": _matches(EMAIL),
    "hostname": lambda text: len(text) <= 255 and HOST.fullmatch(text) is not None,
    "date": _parses(date.fromisoformat),
    "datetime": _parses(_date_time),
    "duration": _matches(DURATION),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "uuid": _uuid("[0-9a-f]", "[0-9a-f]"),
    "uuid3": _uuid("3", "[0-9a-f]"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "bsonobjectid": _matches("[0-9a-fA-F]{24}"),
    "hexcolor": _matches("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "k8sshortname": lambda text: LABEL.fullmatch(text) is not None,
    "k8slongname": lambda text: len(text) <= 253 and all(map(LABEL.fullmatch, text.split("."))),
}
