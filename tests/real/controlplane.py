"""A real control plane (etcd, kube-apiserver, kube-controller-manager) on loopback, ready in seconds."""

import contextlib
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.real.build import binary

START_LIMIT = 90.0


@dataclass
class Authority:
    """A certificate authority that writes what it signs into one folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "real-ca")])
        certificate = (
            self._builder(self.name, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        (self.folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=7))
        )

    def sign(
        self, file: str, user: str, groups: Sequence[str] = (), addresses: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """Write `file`.crt and `file`.key for a user, or a server with `addresses`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        builder = self._builder(x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, user)]), key)
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(
                x509.SubjectAlternativeName([*names, x509.DNSName("localhost")]), critical=False
            )
        usage = ExtendedKeyUsageOID.SERVER_AUTH if addresses else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        certificate, secret = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(_pem(key))
        return certificate, secret


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class ControlPlane:
    """One cluster without nodes: start, stop, and each part's process to kill or freeze."""

    def __init__(self, folder: Path, *, number: int = 1, server_args: Sequence[str] = ()) -> None:
        self.folder = folder
        self.number = number
        self.server_args = tuple(server_args)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder)
        self.client_port, self.peer_port, self.port, self.manager_port = free_ports(4)
        self.server = f"https://127.0.0.1:{self.port}"
        (folder / "sa.key").write_bytes(_pem(rsa.generate_private_key(65537, 2048)))
        self.authority.sign("server", "kube-apiserver", addresses=["127.0.0.1", f"10.{number}.128.1"])
        self.kubeconfig = self.kubeconfig_of("admin", ["system:masters"])

    def kubeconfig_of(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate for `user` in `groups`."""
        file = user.replace(":", "-")
        certificate, key = self.authority.sign(file, user, groups)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "c",
                    "cluster": {"server": self.server, "certificate-authority": str(self.folder / "ca.crt")},
                }
            ],
            "users": [{"name": "u", "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path = self.folder / f"{file}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

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
            *("--bind-address=127.0.0.1", "--authorization-mode=RBAC", "--profiling=false"),
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
                ["setpriv", "--pdeathsig", "KILL", str(binary()), name, *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"GOMAXPROCS": "2"},
            )

    def _wait_ready(self) -> None:
        certificates = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        certificates.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit and self.processes["kube-apiserver"].poll() is None:
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"{self.server}/readyz", context=certificates, timeout=5),
            ):
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
