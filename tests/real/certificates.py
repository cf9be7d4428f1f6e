"""Certificates and kubeconfigs of real clusters, as files in one folder."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass
class Authority:
    """A certificate authority that writes what it signs into one folder, itself as `<name>.crt` and `<name>.key`."""

    folder: Path
    name: str = "ca"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"real-{self.name}")])
        certificate = (
            self._builder(self._subject, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.certificate.with_suffix(".key").write_bytes(pem(self.key))

    @property
    def certificate(self) -> Path:
        """Its own certificate."""
        return self.folder / f"{self.name}.crt"

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=7))
        )

    def sign(
        self,
        file: str,
        user: str,
        groups: Sequence[str] = (),
        addresses: Sequence[str] = (),
        names: Sequence[str] = ("localhost",),
    ) -> tuple[Path, Path]:
        """Write `file`.crt and `file`.key for a user, or for a server with `addresses` and `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        builder = self._builder(x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, user)]), key)
        if addresses:
            known = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(
                x509.SubjectAlternativeName([*known, *(x509.DNSName(name) for name in names)]), critical=False
            )
        usage = ExtendedKeyUsageOID.SERVER_AUTH if addresses else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        certificate, secret = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(pem(key))
        return certificate, secret

    def kubeconfig(self, server: str, user: str, groups: Sequence[str] = (), *, context: str = "c") -> Path:
        """A kubeconfig with a client certificate for `user` in `groups`."""
        file = user.replace(":", "-")
        certificate, key = self.sign(file, user, groups)
        credentials = {"client-certificate": str(certificate), "client-key": str(key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": context, "cluster": {"server": server, "certificate-authority": str(self.certificate)}}
            ],
            "users": [{"name": f"{context}-{file}", "user": credentials}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": f"{context}-{file}"}}],
            "current-context": context,
        }
        path = self.folder / f"{file}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A private key as text."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_service_account_key(folder: Path) -> Path:
    """The key that signs the tokens of service accounts."""
    path = folder / "sa.key"
    path.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    return path
