"""How a Kubernetes API server says no: one sentence and one machine-readable reason per refusal."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isthmus.api.scheme import Manifest
from isthmus.apiserver.schema import Cause, invalid
from isthmus.errors import APIError, Conflict, Gone, NotFound, Refused, ServerFault

if TYPE_CHECKING:
    from isthmus.apiserver.kinds import Kind

# Reasons whose Status has details even when there is nothing to say in them.
WITH_DETAILS = frozenset({"NotFound", "MethodNotAllowed", "Forbidden", "Invalid"})
SUCCESS: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def manifest_of(error: APIError) -> Manifest:
    """The Status that carries `error` to the caller."""
    metadata = {"continue": error.token} if isinstance(error, Expired) and error.token else {}
    status: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure"}
    status["message"] = error.message
    if error.reason:
        status["reason"] = error.reason
    if error.details or error.reason in WITH_DETAILS or error.message[:3] in {"406", "415"}:
        status["details"] = error.details
    status["code"] = error.code
    return status


def details_of(kind: "Kind", name: str) -> dict[str, object]:
    """Which object a Status is about; the `kind` in there is the plural."""
    details: dict[str, object] = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    return details | {"kind": kind.plural}


def not_found(kind: "Kind", name: str) -> NotFound:
    """404: no such object."""
    return NotFound(
        code=404,
        reason="NotFound",
        message=f'{kind.resource} "{name}" not found',
        details=details_of(kind, name),
    )


def no_such_path() -> NotFound:
    """404: nothing is served under this path."""
    return NotFound(code=404, reason="NotFound", message="the server could not find the requested resource", details={})


def already_exists(kind: "Kind", name: str, *, dying: bool = False) -> Conflict:
    """409: the name is taken, perhaps by an object on its way out."""
    first = "object is being deleted: " if dying else ""
    return Conflict(
        code=409,
        reason="AlreadyExists",
        message=f'{first}{kind.resource} "{name}" already exists',
        details=details_of(kind, name),
    )


def precondition_failed(kind: "Kind", name: str, why: str) -> Conflict:
    """409: a delete's precondition does not hold. Kubernetes names the kind here, not the plural."""
    details = details_of(kind, name) | {"kind": kind.kind}
    about = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    message = f'Operation cannot be fulfilled on {about} "{name}": {why}'
    return Conflict(code=409, reason="Conflict", message=message, details=details)


def conflict(kind: "Kind", name: str, why: str) -> Conflict:
    """409: the object is not the one the caller thinks of."""
    return Conflict(
        code=409,
        reason="Conflict",
        message=f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}',
        details=details_of(kind, name),
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def bad_request(message: str) -> Refused:
    """400: the request makes no sense."""
    return Refused(code=400, reason="BadRequest", message=message)


def invalid_options(options: str, field: str, reason: str, message: str) -> Refused:
    """422: a parameter of the request is wrong; `options` is the kind that Kubernetes files it under."""
    return invalid(options, "meta.k8s.io", "", [Cause(field, reason, message)])


def unsupported_option(options: str, field: str, sent: object, supported: Sequence[str]) -> Refused:
    """422: a parameter has a value that is not one of the few it may have."""
    listed = ", ".join(f'"{each}"' for each in supported)
    told = f"Unsupported value: {json.dumps(sent)}: supported values: {listed}"
    return invalid_options(options, field, "FieldValueNotSupported", told)


def forbidden_option(field: str, why: str) -> Refused:
    """422: parameters of a list or watch that contradict each other."""
    return invalid_options("ListOptions", field, "FieldValueForbidden", f"Forbidden: {why}")


def unauthorized() -> Refused:
    """401: the server does not know who is asking."""
    return Refused(code=401, reason="Unauthorized", message="Unauthorized")


def forbidden(kind: "Kind", name: str, why: str, causes: Sequence[dict[str, str]] = ()) -> Refused:
    """403: not now, or not this."""
    details = details_of(kind, name)
    if causes:
        details["causes"] = list(causes)
    return Refused(
        code=403, reason="Forbidden", message=f'{kind.resource} "{name}" is forbidden: {why}', details=details
    )


def method_not_allowed(what: str = "the server does not allow this method on the requested resource") -> Refused:
    """405: the resource is there, the verb is not."""
    return Refused(code=405, reason="MethodNotAllowed", message=what)


def not_acceptable(accepted: Sequence[str], *, known: bool = False) -> Refused:
    """406: no common media type for the answer; `known`: the type is, what is wanted in it is not."""
    listed = ", ".join(accepted)
    message = f"406: Not Acceptable\n\nAvailable representations: {listed}"
    if known:
        message = f"only the following media types are accepted: {listed}"
    return Refused(code=406, reason="NotAcceptable", message=message)


def unsupported_patch() -> Refused:
    """415: a patch of no known kind."""
    message = "415: Unsupported Media Type"
    return Refused(code=415, reason="UnsupportedMediaType", message=message)


def unsupported_media_type(accepted: Sequence[str]) -> Refused:
    """415: the body is in a format that this server does not read."""
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return Refused(code=415, reason="UnsupportedMediaType", message=message)


def too_large(limit: int) -> Refused:
    """413: the body is longer than the server reads."""
    message = f"Request entity too large: limit is {limit}"
    return Refused(code=413, reason="RequestEntityTooLarge", message=message)


class Expired(Gone):
    """A list cannot go on as it began; `token` goes on with what is there now."""

    def __init__(self, message: str, token: str = "") -> None:
        super().__init__(code=410, reason="Expired", message=message)
        self.token = token


def expired(message: str, token: str = "") -> Gone:
    """410: the version asked for has been forgotten."""
    return Expired(message, token)


def version_too_large(wanted: int, current: int) -> Gone:
    """504: the version asked for lies in the future."""
    details: dict[str, object] = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return Gone(
        code=504,
        reason="Timeout",
        message=f"Timeout: Too large resource version: {wanted}, current: {current}",
        details=details,
        retry_after=1.0,
    )


def internal(why: str) -> ServerFault:
    """500: the server's own fault."""
    return ServerFault(code=500, reason="InternalError", message=f"Internal error occurred: {why}")


def out_of_space(why: str) -> ServerFault:
    """507: the object could not be written to disk; nothing has changed."""
    return ServerFault(code=507, reason="InsufficientStorage", message=f"the object was not written: {why}")
