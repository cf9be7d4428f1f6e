"""A real control plane (etcd, kube-apiserver, kube-controller-manager) on loopback, ready in seconds."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.real.asking import Server
from tests.real.build import VERSION, binary
from tests.real.certificates import Authority, write_service_account_key
from tests.real.ports import free_ports

START_LIMIT = 90.0


@dataclass(frozen=True)
class Place:
    """The address at which a control plane answers, and the command by which its network namespace is entered."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


HERE = Place()


class ControlPlane:
    """One cluster without nodes: start, stop, and each part's process to kill or freeze."""

    def __init__(
        self,
        folder: Path,
        *,
        number: int = 1,
        server_args: Sequence[str] = (),
        version: str = VERSION,
        place: Place = HERE,
    ) -> None:
        self.folder = folder
        self.number = number
        self.server_args = tuple(server_args)
        self.place = place
        self.binary = binary(version)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder)
        self.client_port, self.peer_port, self.port, self.manager_port = free_ports(4)
        self.server = f"https://{place.address}:{self.port}"
        write_service_account_key(folder)
        self.authority.sign("server", "kube-apiserver", addresses=[place.address, f"10.{number}.128.1"])
        self.kubeconfig = self.kubeconfig_of("admin", ["system:masters"])

    def kubeconfig_of(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate for `user` in `groups`."""
        return self.authority.kubeconfig(self.server, user, groups)

    def start(self) -> None:
        """Start all three parts and wait until the API server is ready and namespaces have their accounts."""
        self.start_etcd()
        self.start_server()
        self.start_manager()

    def start_etcd(self) -> None:
        """Start etcd, without fsync: these clusters are for tests."""
        client, peer = f"http://127.0.0.1:{self.client_port}", f"http://127.0.0.1:{self.peer_port}"
        self._run(
            "etcd",
            *("--name=c", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=c={peer}",
            ),
        )

    def start_server(self) -> None:
        """Start kube-apiserver and wait until it is ready."""
        at = self.folder
        self._run(
            "kube-apiserver",
            *(f"--etcd-servers=http://127.0.0.1:{self.client_port}", f"--secure-port={self.port}"),
            *(f"--bind-address={self.place.address}", "--authorization-mode=RBAC", "--profiling=false"),
            *(f"--client-ca-file={at / 'ca.crt'}", f"--tls-cert-file={at / 'server.crt'}"),
            *(f"--tls-private-key-file={at / 'server.key'}", f"--service-account-key-file={at / 'sa.key'}"),
            *(f"--service-account-signing-key-file={at / 'sa.key'}", "--endpoint-reconciler-type=none"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range=10.{self.number}.128.0/17,fd69:{self.number}:1::/112",
            *self.server_args,
        )
        self._wait_ready()

    def start_manager(self) -> None:
        """Start kube-controller-manager: namespaces, garbage collection, EndpointSlices, service accounts."""
        config = self.kubeconfig_of("system:kube-controller-manager")
        at = self.folder
        self._run(
            "kube-controller-manager",
            *(f"--kubeconfig={config}", f"--authentication-kubeconfig={config}"),
            *(f"--authorization-kubeconfig={config}", "--leader-elect=false", "--profiling=false"),
            *(
                f"--secure-port={self.manager_port}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={at / 'manager'}",
            ),
            *(f"--root-ca-file={at / 'ca.crt'}", f"--service-account-private-key-file={at / 'sa.key'}"),
            *("--use-service-account-credentials=true", "--concurrent-namespace-syncs=10"),
        )

    def stop(self) -> None:
        """End every process; its state stays in the folder."""
        for name in reversed(list(self.processes)):
            self.kill(name)

    def kill(self, name: str) -> None:
        """Kill one part with -9."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()

    def freeze(self, name: str, *, frozen: bool = True) -> None:
        """Stop one part in its tracks, or let it go on."""
        self.processes[name].send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def _run(self, name: str, *args: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                # Whatever happens to the tests, no server outlives them.
                ["setpriv", "--pdeathsig", "KILL", *self.place.enter, str(self.binary), name, *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"GOMAXPROCS": "2"},
            )

    def _wait_ready(self) -> None:
        server = Server(self.server, self.folder)
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit and self.processes["kube-apiserver"].poll() is None:
            if server.is_ready():
                return
            time.sleep(0.05)
        log = (self.folder / "kube-apiserver.log").read_text()[-2000:]
        raise RuntimeError(f"kube-apiserver was not ready after {START_LIMIT} s; the end of its log:\n{log}")


@contextlib.contextmanager
def running(folder: Path, *, number: int = 1, server_args: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """A control plane for the length of a `with` block."""
    plane = ControlPlane(folder, number=number, server_args=server_args)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
