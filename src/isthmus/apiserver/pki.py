"""A cluster's keys: its authority, the server's certificate, client certificates, the token key.

ECDSA on P-256 throughout: made in a millisecond, small on the wire.
"""

import base64
import datetime
import hashlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.kit.clock import SYSTEM

YEARS = datetime.timedelta(days=3650)
# Clocks of a host and its guests may differ.
BACKDATED = datetime.timedelta(hours=1)
SIZE = 32
SHA = ec.ECDSA(hashes.SHA256())


class SigningKey:
    """Signs and checks service account tokens."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._private = key
        self._public = key.public_key()
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.identity = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")

    def sign(self, data: bytes) -> bytes:
        """An ES256 signature: r and s, 32 bytes each (RFC 7518, 3.4)."""
        r, s = utils.decode_dss_signature(self._private.sign(data, SHA))
        return r.to_bytes(SIZE, "big") + s.to_bytes(SIZE, "big")

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is ours."""
        if len(signature) != 2 * SIZE:
            return False
        r, s = int.from_bytes(signature[:SIZE], "big"), int.from_bytes(signature[SIZE:], "big")
        try:
            self._public.verify(utils.encode_dss_signature(r, s), data, SHA)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PKI:
    """The files of one cluster's keys, in one folder."""

    folder: Path
    name: str

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.crt"

    @property
    def serving(self) -> tuple[Path, Path]:
        """The server's certificate and key."""
        return self.folder / "server.crt", self.folder / "server.key"

    @classmethod
    def create(cls, folder: Path, name: str, addresses: Sequence[str]) -> "PKI":
        """Make what is missing in `folder`, for a server reached at `addresses` (names and IPs)."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = cls(folder, name)
        if not made.ca.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
            _write(folder / "ca.key", _pem_of_key(key))
            _write(made.ca, _pem(_authority(subject, key)))
        if not (folder / "sa.key").exists():
            _write(folder / "sa.key", _pem_of_key(ec.generate_private_key(ec.SECP256R1())))
        known = made._served()
        if not set(_alternatives(addresses)) <= set(known):
            certificate, key_pem = made._issue(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} API server")]),
                ExtendedKeyUsageOID.SERVER_AUTH,
                list(dict.fromkeys([*known, *_alternatives(addresses)])),
            )
            _write(made.serving[1], key_pem)
            _write(made.serving[0], certificate)
        return made

    @classmethod
    def load(cls, folder: Path, name: str) -> "PKI":
        """What `create` made. Raises Invalid when it did not."""
        loaded = cls(folder, name)
        for path in (loaded.ca, folder / "ca.key", folder / "sa.key", *loaded.serving):
            if not path.exists():
                raise Invalid(f"{path} is missing: make the cluster's keys first")
        return loaded

    def signing_key(self) -> SigningKey:
        """The key of service account tokens."""
        return SigningKey(_load_key(self.folder / "sa.key"))

    def client(self, user: str, groups: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """A certificate (CN user, O groups) and its key, as PEM."""
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        return self._issue(subject, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def client_config(self, server: str, user: str, groups: Sequence[str] = ()) -> Manifest:
        """A kubeconfig with one context, called like the cluster, for `user` at the URL `server`."""
        certificate, key = self.client(user, groups)
        cluster = {"server": server, "certificate-authority-data": _base64(self.ca.read_bytes())}
        secret = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            "users": [{"name": self.name, "user": secret}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": self.name}}],
            "current-context": self.name,
        }

    def _served(self) -> list[x509.GeneralName]:
        """What the server's certificate names now: a caller adds to it, and takes nothing away."""
        if not all(path.exists() for path in self.serving):
            return []
        certificate = x509.load_pem_x509_certificate(self.serving[0].read_bytes())
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)

    def _issue(
        self, subject: x509.Name, usage: x509.ObjectIdentifier, names: Sequence[x509.GeneralName]
    ) -> tuple[bytes, bytes]:
        authority = x509.load_pem_x509_certificate(self.ca.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, key.public_key(), authority.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        public = authority.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise Invalid(f"{self.ca} holds a key of another kind: this server makes ECDSA keys")
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
        builder = builder.add_extension(issuer, critical=False)
        return _pem(builder.sign(_load_key(self.folder / "ca.key"), hashes.SHA256())), _pem_of_key(key)


def _authority(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = _builder(subject, key.public_key(), subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    signs = x509.KeyUsage(digital_signature=True, key_encipherment=False, key_cert_sign=True, crl_sign=True, **usage)
    builder = builder.add_extension(signs, critical=True)
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(identity, critical=False).sign(key, hashes.SHA256())


def _builder(subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = SYSTEM.now()
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + YEARS)


def _alternatives(addresses: Sequence[str]) -> list[x509.GeneralName]:
    return [_alternative(address) for address in dict.fromkeys(addresses)]


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Invalid(f"{path} holds a key of another kind: this server makes ECDSA keys")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """All or nothing, and for the owner's eyes."""
    draft = path.with_suffix(path.suffix + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
