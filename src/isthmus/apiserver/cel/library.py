"""What Kubernetes adds to CEL: functions on lists, texts, URLs, addresses, quantities, versions, and rights.

Kubernetes, "Common Expression Language in Kubernetes", "Kubernetes CEL libraries". The CEL library knows no types
but its own: what Kubernetes has types for are maps here, which say under `@` what they are.
"""

import ipaddress
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from decimal import Decimal
from types import ModuleType
from typing import Final, Protocol, TypeAlias, TypeVar
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from isthmus.apiserver.builtin.quantity import quantity
from isthmus.apiserver.cel.meaning import MACROS, MERGED
from isthmus.apiserver.pattern import compiled

Value: TypeAlias = dict[str, object]
Run = Callable[..., object]
F = TypeVar("F", bound=Run)
_SIGNATURE: Final = re.compile(r"(?:(string|list|map)\.)?([\w.]+)\((.*)\) -> (\w+)")
# By name: each signature, the types that it takes and gives, whether it has a receiver, and what it does.
_DECLARED: Final[dict[str, list[tuple[str, list[str], str, bool, Run]]]] = {}
MAX_RANGE: Final = 1000
_SEMVER: Final = re.compile(
    r"(0|[1-9]\d{0,18})\.(0|[1-9]\d{0,18})\.(0|[1-9]\d{0,18})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)


def function(*signatures: str) -> Callable[[F], F]:
    """Declare what the decorated function does in expressions: `string.find(string) -> string`."""

    def declare(run: F) -> F:
        for signature in signatures:
            receiver, name, params, result = _SIGNATURE.fullmatch(signature).groups()  # type: ignore[union-attr]  # all below fit
            types = [each for each in (receiver, *params.split(", ")) if each]
            _DECLARED.setdefault(name, []).append((signature, types, result, receiver is not None, run))
        return run

    return declare


def declarations(cel: ModuleType, *, has_pairs: bool = False) -> list[object]:
    """All functions, for an environment of the CEL library; with macros of two variables, for its checker alone."""

    def overload(signature: str, types: list[str], result: str, member: bool, run: Run) -> object:
        kinds = [getattr(cel.Type, each.upper()) for each in types]
        return cel.Overload(signature, getattr(cel.Type, result.upper()), kinds, member, run)

    declared = {name: list(each) for name, each in _DECLARED.items()}
    for name, (counts, result) in MACROS.items() if has_pairs else ():
        some = [(f"{name} of {count}", ["dyn"] * (count + 1), result, True, _not_called) for count in counts]
        declared.setdefault(name, []).extend(some)
    return [cel.FunctionDecl(name, [overload(*each) for each in some]) for name, some in declared.items()]


def _not_called() -> object:
    raise ValueError("no such overload")


def _merged(one: Value, other: Value) -> Value:
    if one.keys() & other.keys():
        raise ValueError(f"insert failed: key {next(iter(one.keys() & other.keys()))} already exists")
    return {**one, **other}


_DECLARED[MERGED] = [(MERGED, ["map", "map"], "map", False, _merged)]


def _is(value: object, kind: str) -> Value:
    """The value, if it is of that kind. Raises ValueError, as all functions here: the library makes it CEL's error."""
    if not isinstance(value, dict) or value.get("@") != kind:
        raise ValueError("no such overload")
    return value


@function("list.isSorted() -> bool")
def _is_sorted(items: Sequence[int]) -> bool:
    return all(left <= right for left, right in itertools.pairwise(items))


@function("list.sum() -> dyn")
def _sum(items: Sequence[int]) -> int:
    return sum(items)


@function("list.max() -> dyn")
def _max(items: Sequence[int]) -> int:
    if not items:
        raise ValueError("max called on empty list")
    return max(items)


@function("list.min() -> dyn")
def _min(items: Sequence[int]) -> int:
    if not items:
        raise ValueError("min called on empty list")
    return min(items)


@function("list.slice(int, int) -> list")
def _slice(items: Sequence[object], start: int, end: int) -> Sequence[object]:
    if not 0 <= start <= end <= len(items):
        raise ValueError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


@function("list.flatten() -> list")
def _flatten(items: Sequence[object]) -> list[object]:
    return [inner for item in items for inner in (item if isinstance(item, list) else [item])]


@function("list.sort() -> list")
def _sort(items: Sequence[int]) -> list[int]:
    return sorted(items)


@function("list.distinct() -> list")
def _distinct(items: Sequence[object]) -> list[object]:
    return [item for at, item in enumerate(items) if item not in items[:at]]


@function("list.reverse() -> list")
def _reverse(items: Sequence[object]) -> Sequence[object]:
    return items[::-1]


@function("lists.range(int) -> list")
def _range(count: int) -> list[int]:
    if count > MAX_RANGE:
        raise ValueError("operation cancelled: actual cost limit exceeded")
    return list(range(count))


@function("sets.contains(list, list) -> bool")
def _has_all(items: Sequence[object], wanted: Sequence[object]) -> bool:
    return all(each in items for each in wanted)


@function("sets.equivalent(list, list) -> bool")
def _has_same(left: Sequence[object], right: Sequence[object]) -> bool:
    return _has_all(left, right) and _has_all(right, left)


@function("sets.intersects(list, list) -> bool")
def _has_any(left: Sequence[object], right: Sequence[object]) -> bool:
    return any(each in right for each in left)


@function("string.find(string) -> string")
def _find(text: str, pattern: str) -> str:
    found = compiled(pattern).search(text)
    return found.group() if found else ""


@function("string.findAll(string) -> list", "string.findAll(string, int) -> list")
def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found = (match.group() for match in compiled(pattern).finditer(text))
    return list(found if most < 0 else itertools.islice(found, most))


@function("url(string) -> map")
def _url(text: str) -> Value:
    _split(text)
    return {"@": "URL", "text": text}


@function("isURL(string) -> bool")
def _is_url(text: str) -> bool:
    return _reads(_split, text)


def _split(text: str) -> SplitResult:
    parts = urlsplit(text)
    is_absolute = parts.scheme and (parts.netloc or parts.path.startswith("/"))
    if not (text.startswith("/") or is_absolute) or " " in parts.netloc or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    _ = parts.port
    return parts


def _reads(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _part(name: str, read: Callable[[SplitResult], object], result: str = "string") -> None:
    @function(f"map.{name}() -> {result}")
    def of(url: object) -> object:
        return read(_split(str(_is(url, "URL")["text"])))


_part("getScheme", lambda parts: parts.scheme)
_part("getHost", lambda parts: parts.netloc.rpartition("@")[2])
_part("getHostname", lambda parts: re.sub(r":\d*$", "", parts.netloc.rpartition("@")[2]).strip("[]"))
_part("getPort", lambda parts: "" if parts.port is None else str(parts.port))
_part("getEscapedPath", lambda parts: quote(parts.path, safe="/%:@!$&'()*+,;=~-._"))
_part("getQuery", lambda parts: parse_qs(parts.query, keep_blank_values=True), "map")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@function("ip(string) -> map")
def _ip(text: str) -> Value:
    return {"@": "IP", "text": str(_address(text))}


@function("isIP(string) -> bool")
def _is_ip(text: str) -> bool:
    return _reads(_address, text)


@function("ip.isCanonical(string) -> bool")
def _is_canonical(text: str) -> bool:
    return str(_address(text)) == text


def _address(text: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        told = f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): unable to parse IP'
        raise ValueError(told) from error
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


def _about(name: str, read: Callable[[Address], object], result: str = "bool") -> None:
    @function(f"map.{name}() -> {result}")
    def of(ip: object) -> object:
        return read(_address(str(_is(ip, "IP")["text"])))


_LINK_MULTICAST: Final = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
_about("family", lambda address: address.version, "int")
_about("isUnspecified", lambda address: address.is_unspecified)
_about("isLoopback", lambda address: address.is_loopback)
_about("isLinkLocalMulticast", lambda address: any(address in network for network in _LINK_MULTICAST))
_about("isLinkLocalUnicast", lambda address: address.is_link_local)
_about(
    "isGlobalUnicast",
    lambda address: (
        not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local)
    ),
)


@function("cidr(string) -> map")
def _cidr(text: str) -> Value:
    return {"@": "CIDR", "text": str(_interface(text))}


@function("isCIDR(string) -> bool")
def _is_cidr(text: str) -> bool:
    return _reads(_interface, text)


def _interface(text: str) -> Interface:
    if not re.fullmatch(r"[^/%]+/(0|[1-9]\d{0,2})", text) or not _reads(ipaddress.ip_interface, text):
        raise ValueError(f'network address parse error during conversion from string: netip.ParsePrefix("{text}")')
    return ipaddress.ip_interface(text)


def _interface_of(value: object) -> Interface:
    return _interface(value if isinstance(value, str) else str(_is(value, "CIDR")["text"]))


@function("map.containsIP(string) -> bool", "map.containsIP(map) -> bool")
def _contains_ip(cidr: object, ip: object) -> bool:
    return _address(ip if isinstance(ip, str) else str(_is(ip, "IP")["text"])) in _interface_of(cidr).network


@function("map.containsCIDR(string) -> bool", "map.containsCIDR(map) -> bool")
def _contains_cidr(cidr: object, other: object) -> bool:
    outer, inner = _interface_of(cidr).network, _interface_of(other).network
    same = outer.version == inner.version
    return same and outer.prefixlen <= inner.prefixlen and inner.network_address in outer


@function("map.ip() -> map")
def _cidr_ip(cidr: object) -> Value:
    return _ip(str(_interface_of(cidr).ip))


@function("map.prefixLength() -> int")
def _prefix_length(cidr: object) -> int:
    return _interface_of(cidr).network.prefixlen


@function("map.masked() -> map")
def _masked(cidr: object) -> Value:
    return _cidr(str(_interface_of(cidr).network))


@function("quantity(string) -> map")
def _quantity(text: str) -> Value:
    # Written alike where they are alike: `==` compares maps.
    return {"@": "Quantity", "text": f"{quantity(text).normalize():f}"}


@function("isQuantity(string) -> bool")
def _is_quantity(text: str) -> bool:
    return _reads(quantity, text)


def _amount(value: object) -> Decimal:
    return Decimal(value) if isinstance(value, int) else Decimal(str(_is(value, "Quantity")["text"]))


@function("sign(map) -> int")
def _sign(value: object) -> int:
    return (_amount(value) > 0) - (_amount(value) < 0)


@function("map.asApproximateFloat() -> double")
def _as_float(value: object) -> float:
    return float(_amount(value))


@function("map.isInteger() -> bool")
def _is_integer(value: object) -> bool:
    return _amount(value) == int(_amount(value)) and -(2**63) <= _amount(value) < 2**63


@function("map.asInteger() -> int")
def _as_integer(value: object) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(_amount(value))


@function("map.add(map) -> map", "map.add(int) -> map")
def _add(left: object, right: object) -> Value:
    return _quantity(f"{_amount(left) + _amount(right):f}")


@function("map.sub(map) -> map", "map.sub(int) -> map")
def _sub(left: object, right: object) -> Value:
    return _quantity(f"{_amount(left) - _amount(right):f}")


@function("semver(string) -> map", "semver(string, bool) -> map")
def _semver(text: str, tolerant: bool = False) -> Value:
    if tolerant:
        numbers = [re.sub(r"^0+(?=\d)", "", each) for each in text.removeprefix("v").split(".", 2)]
        text = ".".join([*numbers, "0", "0"][:3])
    parts = _SEMVER.fullmatch(text)
    if parts is None:
        raise ValueError(f'Invalid character(s) found in version "{text}"')
    return {"@": "Semver", "numbers": [int(part) for part in parts.groups()[:3]], "before": parts[4] or ""}


@function("isSemver(string) -> bool", "isSemver(string, bool) -> bool")
def _is_semver(text: str, tolerant: bool = False) -> bool:
    return _reads(lambda each: _semver(each, tolerant), text)


def _number(name: str, at: int) -> None:
    @function(f"map.{name}() -> int")
    def of(version: object) -> object:
        return _is(version, "Semver")["numbers"][at]  # type: ignore[index]  # a version has three


for _at, _name in enumerate(("major", "minor", "patch")):
    _number(_name, _at)


def _order(value: object) -> tuple[object, ...]:
    """What quantities, and versions, are compared by: a release comes after what led to it, words after numbers."""
    if isinstance(value, dict) and value.get("@") == "Quantity":
        return (_amount(value),)
    version = _is(value, "Semver")
    words = [each for each in str(version["before"]).split(".") if each]
    return (version["numbers"], not words, [(0, int(w), "") if w.isdecimal() else (1, 0, w) for w in words])


@function("map.compareTo(map) -> int")
def _compare(left: object, right: object) -> int:
    return (_order(left) > _order(right)) - (_order(left) < _order(right))


@function("map.isGreaterThan(map) -> bool")
def _is_greater(left: object, right: object) -> bool:
    return _order(left) > _order(right)


@function("map.isLessThan(map) -> bool")
def _is_less(left: object, right: object) -> bool:
    return _order(left) < _order(right)


class Oracle(Protocol):
    """Whoever knows what users may do."""

    def allows(self, question: Mapping[str, str], verb: str) -> tuple[bool, str]:
        """Whether it is allowed, and why; the question names an account, a path, or a resource's coordinates."""
        ...


# Who answers the questions of the expressions that are evaluated now.
ORACLE: ContextVar[Oracle] = ContextVar("oracle")


def _asking(receiver: str, name: str, kind: str, *fields: str) -> None:
    @function(f"map.{name}({', '.join('string' for _ in fields)}) -> map")
    def of(asked: object, *values: str) -> Value:
        if name in {"path", "resource"} and not values[0].strip():
            raise ValueError(f"{name} must not be empty")
        return {**_is(asked, receiver), **dict(zip(fields, values, strict=True)), "@": kind}


_asking("Authorizer", "path", "PathCheck", "path")
_asking("Authorizer", "group", "GroupCheck", "group")
_asking("Authorizer", "serviceAccount", "Authorizer", "account namespace", "account name")
_asking("GroupCheck", "resource", "ResourceCheck", "resource")
# Nobody's rights depend on selectors here: they are asked for, and say nothing.
for _field in ("subresource", "namespace", "name", "fieldSelector", "labelSelector"):
    _asking("ResourceCheck", _field, "ResourceCheck", _field)


@function("map.check(string) -> map")
def _check(asked: Value, verb: str) -> Value:
    if asked.get("@") not in {"PathCheck", "ResourceCheck"}:
        raise ValueError("no such overload")
    allowed, reason = ORACLE.get().allows({key: str(value) for key, value in asked.items()}, verb)
    return {"@": "Decision", "allowed": allowed, "reason": reason}


@function("map.allowed() -> bool")
def _allowed(decision: object) -> object:
    return _is(decision, "Decision")["allowed"]


@function("map.reason() -> string")
def _reason(decision: object) -> object:
    return _is(decision, "Decision")["reason"]


@function("map.errored() -> bool")
def _errored(_: object) -> bool:
    return False


@function("map.error() -> string")
def _error(_: object) -> str:
    return ""
