"""The one tree of errors, split by what the caller should do next."""


class IsthmusError(Exception):
    """Something Isthmus could not do; the message says what happened, to what, and what to do next."""


class Invalid(IsthmusError):
    """Input from outside (a file, flag, packet or object) cannot be read as what it should be."""


class Unreachable(IsthmusError):
    """No answer: connection refused or dropped, TLS failed, a time limit ran out. Try again later."""


class APIError(IsthmusError):
    """The server answered, and the answer is no.

    `code` is the HTTP status; `reason` (CamelCase) and `details` are those of the Status.
    """

    def __init__(
        self,
        *,
        code: int,
        reason: str,
        message: str,
        details: dict[str, object] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}" if reason else message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after


class NotFound(APIError):
    """404: the object, its namespace or its whole kind is not there."""


class Conflict(APIError):
    """409: somebody else wrote first, owns the field, or took the name. Read again, then decide again."""


class Gone(APIError):
    """410, or 504 for a version the server has not reached: this resourceVersion is of no use. List again."""


class Throttled(APIError):
    """429, or 503 with Retry-After: wait `retry_after` seconds."""


class ServerFault(APIError):
    """5xx: the server failed. Try again with back-off."""


class Refused(APIError):
    """400, 401, 403, 405, 413, 415, 422: asking again will not help; a person has to see it."""
