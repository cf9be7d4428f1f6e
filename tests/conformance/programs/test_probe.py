"""The program that asks: what it makes of answers over TCP, UDP and DNS."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files

import dns.message
import dns.rrset
import pytest

from isthmus.conformance.programs import probe

PROGRAMS = files("isthmus.conformance.programs")


@pytest.fixture
def backend() -> Iterator[int]:
    """A backend as a pod runs it, here on loopback; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (PROGRAMS / "backend.py").read_text()
    environment = {"PORTS": str(port), "POD_IPS": "192.0.2.7,2001:db8::7", "PATH": os.environ["PATH"]}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"serving\n"
        yield port
        process.kill()


def ask(*questions: dict[str, str]) -> list[list[object]]:
    """The program's answers, run as it is run in a pod."""
    program = (PROGRAMS / "probe.py").read_text()
    command = [sys.executable, "-c", "import os; exec(os.environ['PROBE'])", json.dumps(questions)]
    done = subprocess.run(command, env={"PROBE": program}, capture_output=True, timeout=30, check=True)
    answers: list[list[object]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("do", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("host", "family", "said"),
    [
        pytest.param("127.0.0.1", "IPv4", "pod ip 192.0.2.7", id="IPv4"),
        pytest.param("::1", "IPv6", "pod ip 2001:db8::7", id="IPv6"),
        pytest.param("localhost", "", "pod ip", id="a name"),
    ],
)
def test_a_backend_says_its_address_of_the_family_that_asked(
    backend: int, do: str, host: str, family: str, said: str
) -> None:
    question = {"do": do, "host": host, "port": str(backend), "family": family, "count": "2"}
    (answers,) = ask(question)
    assert len(answers) == 2
    assert all(str(answer).startswith(said) for answer in answers)


def test_what_goes_wrong_is_an_answer() -> None:
    (refused,) = ask({"do": "tcp", "host": "127.0.0.1", "port": "1", "family": ""})
    assert str(refused[0]).startswith("error: ")
    (unknown,) = ask({"do": "tcp", "host": "not-there.invalid.", "port": "1", "family": ""})
    assert str(unknown[0]).startswith("error: ")


@pytest.mark.parametrize(
    ("name", "kind", "text", "want"),
    [
        pytest.param("a.b.", "A", "192.0.2.1", {"value": "192.0.2.1"}, id="A"),
        pytest.param("a.b.", "AAAA", "2001:db8::1", {"value": "2001:db8::1"}, id="AAAA"),
        pytest.param("a.b.", "TXT", '"1.0.0"', {"value": "1.0.0"}, id="TXT"),
        pytest.param(
            "a.b.",
            "SRV",
            "0 100 42 X.a.b.",
            {"priority": 0, "weight": 100, "port": 42, "value": "x.a.b."},
            id="SRV, its target compressed",
        ),
    ],
)
def test_records_are_read(name: str, kind: str, text: str, want: dict[str, object]) -> None:
    response = dns.message.make_response(dns.message.make_query(name, kind))
    response.answer.append(dns.rrset.from_text("other.b.", 5, "IN", "A", "192.0.2.9"))
    response.answer.append(dns.rrset.from_text(name, 5, "IN", kind, text))
    seen = probe.parsed(response.to_wire(), probe.TYPES[kind])
    records = seen["records"]
    assert isinstance(records, list)
    assert seen["rcode"] == 0
    assert records[-1] == {"ttl": 5, **want}
