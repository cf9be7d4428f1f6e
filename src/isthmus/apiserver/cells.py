"""What stands in a table's cells: fields, ages, selectors, short lists."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeAlias

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import Column
from isthmus.kit.moments import in_utc

Cell: TypeAlias = Callable[[Manifest, datetime], object]

UNKNOWN, NONE = "<unknown>", "<none>"


def wide(name: str, cell: Cell, type_: str = "string") -> tuple[Column, Cell]:
    """A column that only `-o wide` shows."""
    return (Column(name, type_, "", priority=1), cell)


def shown(name: str, cell: Cell, type_: str = "string") -> tuple[Column, Cell]:
    """A column that is always shown."""
    return (Column(name, type_, ""), cell)


def field(path: str, default: object = NONE) -> Cell:
    """A cell that shows one field; `default` where it is unset."""
    steps = path.split(".")

    def cell(manifest: Manifest, _: datetime) -> object:
        found: object = manifest
        for step in steps:
            found = found.get(step) if isinstance(found, dict) else None
        return default if found is None or found == "" else found

    return cell


def age_of(moment: object, now: datetime) -> str:
    """How long ago, as kubectl says it: `59s`, `5m3s`, `2d4h`."""
    then = in_utc(str(moment))
    if then is None:
        return "<invalid>" if moment else UNKNOWN
    return duration(int((now - then).total_seconds()))


def duration(seconds: int) -> str:
    """Seconds in at most two units, coarser the longer they are (Kubernetes' HumanDuration)."""
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    if hours < 24 * 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}" + (f"{small}{small_unit}" if small else "")


def age(manifest: Manifest, now: datetime) -> object:
    """Time since creation."""
    return age_of(manifest["metadata"].get("creationTimestamp"), now)


def selector_text(selector: Manifest | None) -> str:
    """A LabelSelector, or a plain map of labels, as one line."""
    if not selector:
        return NONE
    expressions = selector.get("matchExpressions") or ()
    labels = (selector.get("matchLabels") or {}) if {"matchLabels", "matchExpressions"} & selector.keys() else selector
    parts = [f"{key}={value}" for key, value in sorted(labels.items())]
    return ",".join([*parts, *map(_expression, expressions)]) or NONE


def _expression(wanted: Manifest) -> str:
    key, values = str(wanted["key"]), ",".join(sorted(wanted.get("values") or ()))
    told = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
    return told.get(str(wanted["operator"]), f"!{key}")


def few(items: Iterable[str], most: int) -> str:
    """The first items, and how many more there are."""
    listed = list(items)
    more = f" + {len(listed) - most} more..." if len(listed) > most else ""
    return ",".join(listed[:most]) + more if listed else ""


AGE = shown("Age", age)
