"""Regular expressions out of schemas and policies, in Go's syntax, searched in time linear to the text (RE2).

Python's own engine backtracks: a hostile pattern would stop the server.
"""

import functools

import re2

from isthmus.errors import Invalid

MAX_PATTERN = 4096
_OPTIONS = re2.Options()
# What is wrong with a pattern is told to its author.
_OPTIONS.log_errors = False


class BadPattern(Invalid):
    """The text is no regular expression, or one that would cost too much."""


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises BadPattern."""
    return compiled(pattern).search(text) is not None


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> "re2._Regexp[str]":
    """The pattern, ready to search with. Raises BadPattern."""
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"longer than {MAX_PATTERN} characters")
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        what, _, where = error.args[0].decode(errors="replace").partition(": ")
        raise BadPattern(f"{what.replace('no argument for', 'missing argument to')}: `{where}`") from error
