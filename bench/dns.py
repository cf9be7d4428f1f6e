"""Questions answered per second of one core: `isthmus dns` beside Knot, same records, same load (dnsperf).

Each server is one process bound to one core; the load comes from the others. What is compared is answers per second
of processor time that the server used, so that neither a core that idles nor a neighbour's load counts.
"""

import asyncio
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import yaml

from bench.result import Result
from isthmus.api.core import CRDS, NAMESPACES
from isthmus.api.crds import MCS_CRDS
from isthmus.api.mcs import CLUSTER_SET_IP, SERVICE_IMPORTS, ZONE, ImportedPort, ServiceImport, ServiceImportSpec
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.errors import Invalid, IsthmusError, Unreachable
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.message import Rcode
from isthmus.kit.dns.records import Address, Record, Service, Text, Type
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.mcs.rules.records import service_records, zone_records
from tests.real.ports import free_port

GOAL = 0.9
NAMESPACES_USED = 20
SERVICES_USED = 500
ROUNDS = 5
SECONDS = 3
START_LIMIT = 60.0
LOCAL = "127.0.0.1"
# Debian keeps knotd where an ordinary user's PATH does not lead.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_TTL = 5

_ISTHMUS = """
import sys
from pathlib import Path
import uvloop
from isthmus.dns.app import DNSOptions, run
uvloop.run(run(DNSOptions(Path(sys.argv[1]), (("127.0.0.1", int(sys.argv[2])),))))
"""


@dataclass(frozen=True)
class Subject:
    """A running server."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int

    def cpu_seconds(self) -> float:
        """What it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One round: answers per second of the clock, and of processor time."""

    per_second: float
    per_cpu_second: float


def run() -> Iterator[Result]:
    """The figures; raises Invalid where a tool or a second core is missing."""
    knotd, dnsperf = _tool("knotd"), _tool("dnsperf")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Invalid("this needs two cores: one for the server, one for the load")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        subjects = [
            stack.enter_context(started(Path(folder), core=cores[0])) for started in (_isthmus, _knot_with(knotd))
        ]
        questions = Path(folder) / "questions"
        asked = list(_questions())
        questions.write_text("".join(f"{name} {kind}\n" for name, kind in asked))
        asyncio.run(_compare(subjects, asked))
        rounds = [[_measure(subject, dnsperf, questions, cores[1:]) for subject in subjects] for _ in range(ROUNDS)]
    yield from _results(rounds)


def _results(rounds: Sequence[Sequence[Measured]]) -> Iterator[Result]:
    for place, name in enumerate(("isthmus dns", "Knot")):
        own = [measured[place] for measured in rounds]
        yield Result(f"{name}: answers as they came", statistics.median(each.per_second for each in own), "per second")
        yield Result(f"{name}: of one core", statistics.median(each.per_cpu_second for each in own), "per cpu s")
    ratio = statistics.median(ours.per_cpu_second / knots.per_cpu_second for ours, knots in rounds)
    yield Result("isthmus dns beside Knot, one core, UDP with EDNS", ratio, "times", GOAL, at_least=True)


def _tool(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise Invalid(f"no {name} here. Type: apt-get install knot dnsperf")
    return found


def _imports() -> Iterator[ServiceImport]:
    for number in range(SERVICES_USED):
        yield ServiceImport(
            api_version=SERVICE_IMPORTS.api_version,
            kind=SERVICE_IMPORTS.kind,
            metadata=ObjectMeta(name=f"shop-{number}", namespace=f"team-{number % NAMESPACES_USED}"),
            spec=ServiceImportSpec(
                type=CLUSTER_SET_IP,
                ports=(ImportedPort(name="http", port=80, protocol="TCP"),),
                ips=(str(ip_address("10.1.128.0") + number), str(ip_address("fd69:1:1::") + number)),
            ),
        )


def _records() -> Iterator[Record]:
    yield from zone_records(zone=ZONE)
    for service_import in _imports():
        yield from service_records(service_import, (), zone=ZONE, ttl=_TTL)


def _questions() -> Iterator[tuple[str, str]]:
    """What a pod's resolver asks: both families, now and then a service's port, now and then a wrong name."""
    for service_import in _imports():
        meta = service_import.metadata
        name = f"{meta.name}.{meta.namespace}.svc.{ZONE}"
        yield from ((name, "A"), (name, "AAAA"), (f"_http._tcp.{name}", "SRV"), (f"none.{name}", "A"))


@contextlib.contextmanager
def _isthmus(folder: Path, *, core: int) -> Iterator[Subject]:
    """`isthmus dns` beside an embedded API server that holds the imports."""
    kubeconfig, port = folder / "kubeconfig", free_port()
    ready = folder / "ready"
    # A process of its own, so that its event loop runs while this one measures.
    code = "import sys; from pathlib import Path; from bench.dns import hold_imports; hold_imports(Path(sys.argv[1]))"
    with _process([sys.executable, "-c", code, str(folder)]) as holder:
        _wait(lambda: ready.exists() or holder.poll() is not None)
        with _process([sys.executable, "-c", _ISTHMUS, str(kubeconfig), str(port)], core=core) as process:
            yield Subject("isthmus dns", process, port)


def hold_imports(folder: Path) -> None:
    """Serve the Kubernetes API, with the imports in it, until ended; the file `ready` says when they are there."""
    asyncio.run(_hold_imports(folder))


async def _hold_imports(folder: Path) -> None:
    async with APIServer(ServerOptions("bench", folder / "pki")) as server:
        (folder / "kubeconfig").write_text(yaml.safe_dump(server.kubeconfig()))
        async with Client(load_kubeconfig([folder / "kubeconfig"])) as client:
            for manifest in MCS_CRDS:
                await client.create(CRDS, manifest)
            for number in range(NAMESPACES_USED):
                await client.create(NAMESPACES, _namespace(f"team-{number}"))
            for service_import in _imports():
                await client.create(SERVICE_IMPORTS, _manifest(service_import))
        (folder / "ready").touch()
        await asyncio.Event().wait()


def _namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _manifest(service_import: ServiceImport) -> Manifest:
    spec, meta = service_import.spec, service_import.metadata
    assert spec is not None
    return {
        "apiVersion": service_import.api_version,
        "kind": service_import.kind,
        "metadata": {"name": meta.name, "namespace": meta.namespace},
        "spec": {
            "type": spec.type,
            "ips": list(spec.ips),
            "ports": [{"name": port.name, "port": port.port, "protocol": port.protocol} for port in spec.ports],
        },
    }


def _knot_with(knotd: str) -> Callable[..., contextlib.AbstractContextManager[Subject]]:
    @contextlib.contextmanager
    def started(folder: Path, *, core: int) -> Iterator[Subject]:
        """Knot with one worker, and the zone as a file."""
        port = free_port()
        (folder / "zone").write_text("".join(_zone_file()))
        (folder / "knot.conf").write_text(
            f"""server:
    listen: {LOCAL}@{port}
    rundir: {folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {folder}
zone:
  - domain: {ZONE}
    file: {folder / "zone"}
log:
  - target: stderr
    any: error
"""
        )
        with _process([knotd, "-c", str(folder / "knot.conf")], core=core) as process:
            yield Subject("Knot", process, port)

    return started


def _zone_file() -> Iterator[str]:
    yield f"{ZONE}. {_TTL} SOA ns.dns.{ZONE}. hostmaster.{ZONE}. 1 7200 1800 86400 {_TTL}\n"
    yield f"{ZONE}. {_TTL} NS ns.dns.{ZONE}.\n"
    for record in _records():
        match record.data:
            case Address():
                kind = "A" if record.data.address.version == 4 else "AAAA"
                yield f"{record.name}. {record.ttl} {kind} {record.data.address}\n"
            case Service():
                srv = record.data
                yield f"{record.name}. {record.ttl} SRV {srv.priority} {srv.weight} {srv.port} {srv.target}.\n"
            case Text():
                yield f'{record.name}. {record.ttl} TXT "{record.data.value}"\n'


async def _compare(subjects: Sequence[Subject], asked: Sequence[tuple[str, str]]) -> None:
    """Wait until both answer, and see that they say the same."""
    for name, kind in [*asked[:8], *asked[-8:]]:
        ours, theirs = [await _told(subject, name, kind) for subject in subjects]
        if ours != theirs:
            raise Invalid(f"the servers differ about {name} {kind}: {ours}; {theirs}")


async def _told(subject: Subject, name: str, kind: str) -> tuple[int, frozenset[Record]]:
    limit = time.monotonic() + START_LIMIT
    while subject.process.poll() is None and time.monotonic() < limit:
        with contextlib.suppress(IsthmusError):
            reply = await resolve(name, Type[kind], (LOCAL, subject.port), seconds=0.5)
            if reply.rcode != Rcode.SERVFAIL:
                return reply.rcode, frozenset(reply.answers)
        # It has not begun, or does not know everything yet.
        await asyncio.sleep(0.05)
    raise Unreachable(f"{subject.name} did not start")


def _measure(subject: Subject, dnsperf: str, questions: Path, cores: Sequence[int]) -> Measured:
    load = [*_bound_to(cores), dnsperf, "-s", LOCAL, "-p", str(subject.port), "-d", str(questions), "-e"]
    threads = min(len(cores), 4)
    load += ["-l", str(SECONDS), "-c", str(8 * threads), "-T", str(threads), "-q", str(500 * threads)]
    before = subject.cpu_seconds()
    done = subprocess.run(load, capture_output=True, text=True, check=True)
    used = subject.cpu_seconds() - before
    completed, took = (_figure(done.stdout, what) for what in ("Queries completed", r"Run time \(s\)"))
    return Measured(completed / took, completed / used)


def _bound_to(cores: Sequence[int]) -> list[str]:
    return ["taskset", "--cpu-list", ",".join(map(str, cores))]


def _figure(output: str, what: str) -> float:
    found = re.search(rf"{what}: +([0-9.]+)", output)
    if found is None:
        raise SystemExit(f"dnsperf did not say: {what}\n{output}")
    return float(found[1])


@contextlib.contextmanager
def _process(command: Sequence[str], *, core: int | None = None) -> "Iterator[subprocess.Popen[bytes]]":
    bound = [] if core is None else _bound_to([core])
    # Whatever ends this program ends the server too.
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *bound, *command])
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + START_LIMIT
    while not holds():
        if time.monotonic() > limit:
            raise SystemExit(f"the embedded API server was not ready after {START_LIMIT:g} s")
        time.sleep(0.05)
