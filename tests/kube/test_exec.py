import json

import pytest

from isthmus.errors import Refused
from isthmus.kube.exec import exit_code


def outcome(**status: object) -> bytes:
    return json.dumps({"kind": "Status", "apiVersion": "v1", **status}).encode()


def exited(code: str) -> dict[str, object]:
    return {"causes": [{"reason": "ExitCode", "message": code}]}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param(outcome(status="Success"), 0, id="a command that succeeded"),
        pytest.param(outcome(status="Failure", reason="NonZeroExitCode", details=exited("7")), 7, id="its own code"),
        pytest.param(outcome(status="Failure", reason="NonZeroExitCode", details=exited("x")), 255, id="no number"),
        pytest.param(outcome(status="Failure", reason="NonZeroExitCode"), 255, id="no cause"),
    ],
)
def test_the_outcome_tells_the_exit_code(said: bytes, code: int) -> None:
    assert exit_code(said) == code


def test_a_command_that_could_not_be_run_is_refused_with_the_reason() -> None:
    with pytest.raises(Refused, match="no such program"):
        exit_code(outcome(status="Failure", reason="InternalError", message="no such program", code=500))
