"""Amounts of resources: `100m`, `1.5Gi`, `2e3`."""

import re
from decimal import ROUND_CEILING, Decimal

SHAPE = re.compile(r"([+-]?\d*\.?\d*)(?:([eE])([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
SUFFIXES = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
POWERS = {suffix: power for power, suffix in SUFFIXES.items()}
BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
MAX_LENGTH = 64


def quantity(text: str) -> Decimal:
    """The amount as a number. Raises ValueError with Kubernetes' sentence."""
    return _parsed(text)[0]


def _parsed(text: str) -> tuple[Decimal, str]:
    """The number, and how it was written: "i" binary, "e" with an exponent, "" decimal."""
    match = SHAPE.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None or not any(char.isdigit() for char in match[1]):
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, suffix = Decimal(match[1]), match[4] or ""
    if match[2]:
        return number.scaleb(int(match[3])), "e"
    if suffix.endswith("i"):
        return number * 1024 ** BINARY.index(suffix), "i"
    return number.scaleb(POWERS[suffix]), ""


def canonical_quantity(text: str) -> str:
    """The amount as Kubernetes writes it: no fractions, the largest suffix that loses nothing."""
    number, form = _parsed(text)
    if form == "i" and abs(number) >= 1024:
        whole, power = int(number.to_integral_value(ROUND_CEILING)), 0
        while whole % 1024 == 0 and power < len(BINARY) - 1:
            whole, power = whole // 1024, power + 1
        return f"{whole}{BINARY[power]}"
    nano = int(number.scaleb(9).to_integral_value(ROUND_CEILING))
    power = -9
    while nano and nano % 1000 == 0 and power < 18:
        nano, power = nano // 1000, power + 3
    if not nano:
        return "0"
    if form == "e" and power:
        return f"{nano}e{power}"
    return f"{nano}{SUFFIXES[power]}"
