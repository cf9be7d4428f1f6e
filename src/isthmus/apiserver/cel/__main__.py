"""The process that makes long evaluations: requests come in, answers go out."""

import contextlib
import sys
from collections.abc import Mapping

from isthmus.apiserver.cel.apart import SECONDS, Ended, limit_memory, limit_time, receive, send
from isthmus.apiserver.cel.engine import EvaluationError, compile_expression
from isthmus.apiserver.cel.library import ORACLE


class Distant:
    """The authorizer, which is in the other process."""

    def allows(self, question: Mapping[str, str], verb: str) -> tuple[bool, str]:
        """Whether it is allowed, and why."""
        send(sys.stdout.buffer, {"question": dict(question), "verb": verb})
        answer = receive(sys.stdin.buffer)
        return bool(answer["allowed"]), str(answer["reason"])


def main() -> None:
    """Answer until nobody asks any more."""
    limit_memory()
    ORACLE.set(Distant())
    while True:
        request = receive(sys.stdin.buffer)
        parts = ("text", "variables", "around", "schema", "values")
        text, variables, around, schema, values = (request[part] for part in parts)
        program = compile_expression(str(text), variables, around=tuple(around), schema=schema)  # type: ignore[arg-type]  # as it was sent
        limit_time(SECONDS)
        try:
            answer = {"value": program.evaluate_here(values)}  # type: ignore[arg-type]  # as it was sent
        except EvaluationError as error:
            answer = {"error": str(error)}
        limit_time(0)
        send(sys.stdout.buffer, answer)


if __name__ == "__main__":
    with contextlib.suppress(Ended, BrokenPipeError):
        main()
