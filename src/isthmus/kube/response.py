"""What an API server's answer means: which of our errors it is."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from isthmus import errors
from isthmus.api.meta import Status

# Longer waits are not obeyed in place: the caller is told, and decides.
SHOWN: Final = 300

# No Status at all, and the one of kube-apiserver for a path that it does not know.
_BARE: Final = frozenset({"", "the server could not find the requested resource"})
_REFUSED: Final = range(300, 500)


def error(code: int, headers: Mapping[str, str], body: bytes, *, asked: str = "") -> errors.APIError:
    """The error that an answer other than 2xx stands for; it names what was `asked` where the answer does not."""
    status = _status(body)
    message = status.message or _sketch(body, headers) or "the server gave no reason"
    facts = {
        "code": code,
        "reason": status.reason or f"HTTP{code}",
        "message": f"{asked}: {message}" if asked and status.message in _BARE else message,
        "details": status.details,
        "retry_after": _retry_after(headers, status),
    }
    return _kind(code, status, headers)(**facts)  # type: ignore[arg-type]  # a dict of mixed keyword values


def from_status(body: bytes) -> errors.APIError:
    """The error that a Status inside a watch stands for."""
    return error(_status(body).code or 500, {}, body)


def _kind(code: int, status: Status, headers: Mapping[str, str]) -> type[errors.APIError]:
    if code == 404:
        return errors.NotFound
    if code == 409:
        return errors.Conflict
    if code == 410 or (code == 504 and _is_ahead(status)):
        return errors.Gone
    if code == 429 or (code == 503 and "Retry-After" in headers):
        return errors.Throttled
    return errors.Refused if code in _REFUSED else errors.ServerFault


def _is_ahead(status: Status) -> bool:
    # The server has not reached the version that was asked for: it lags, or it was set back.
    return status.message.startswith("Too large resource version") or any(
        cause.get("reason") == "ResourceVersionTooLarge" for cause in _causes(status)
    )


def _causes(status: Status) -> list[dict[str, object]]:
    causes = (status.details or {}).get("causes")
    return [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []


def _retry_after(headers: Mapping[str, str], status: Status) -> float | None:
    said = headers.get("Retry-After", "")
    if re.fullmatch(r"\d{1,9}", said):
        return float(said)
    seconds = (status.details or {}).get("retryAfterSeconds")
    return float(seconds) if isinstance(seconds, int) and seconds > 0 else None


def _status(body: bytes) -> Status:
    try:
        status = msgspec.json.decode(body, type=Status)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Status()
    return status if status.kind == "Status" else Status()


def _sketch(body: bytes, headers: Mapping[str, str]) -> str:
    place = f" (sent to {headers['Location']})" if "Location" in headers else ""
    return " ".join(body[:SHOWN].decode(errors="replace").split()) + place
