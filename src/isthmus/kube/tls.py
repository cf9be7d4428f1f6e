"""Certificates and keys: where they are kept, whether they are still good, and the TLS made of them."""

import os
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from isthmus.errors import Invalid

# A certificate chain or a token; more is a mistake.
MAX_MATERIAL: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Material:
    """A secret or certificate: given inline, or the file that holds it now. `origin` is its field."""

    origin: str
    data: bytes = field(default=b"", repr=False)
    file: Path | None = None

    def read(self) -> bytes:
        """The bytes as they are now; raises Invalid."""
        if self.file is None:
            return self.data
        try:
            with self.file.open("rb") as stream:
                content = stream.read(MAX_MATERIAL + 1)
        except OSError as problem:
            raise Invalid(
                f"{self.origin}: cannot read {self.file}: {problem.strerror}; check the path and its permissions"
            ) from problem
        if not content.strip():
            raise Invalid(f"{self.origin}: {self.file} is empty; write it anew, or name another file")
        if len(content) > MAX_MATERIAL:
            raise Invalid(f"{self.origin}: {self.file} is larger than 1 MiB; is it the right file?")
        return content

    def stamp(self) -> object:
        """Something that changes when the file does."""
        if self.file is None:
            return None
        try:
            seen = os.stat(self.file)  # noqa: PTH116  # called for every request: half the time of Path.stat
        except OSError:
            return None
        return (seen.st_ino, seen.st_mtime_ns, seen.st_size)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe, and who to be, on the level of TLS."""

    authority: Material | None = None
    certificate: Material | None = None
    key: Material | None = None
    insecure: bool = False

    def stamps(self) -> tuple[object, ...]:
        """Something that changes when one of the files does."""
        return tuple(m.stamp() for m in (self.authority, self.certificate, self.key) if m)


def context(trust: Trust, *, now: datetime) -> ssl.SSLContext:
    """The TLS settings for a server; raises Invalid, naming the field and the next step."""
    made = _verifying(trust.authority, now)
    if trust.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    # Python 3.13 demands extensions that the certificates of most clusters do not have.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.set_alpn_protocols(["http/1.1"])
    if trust.certificate:
        _introduce(made, trust.certificate, trust.key, now)
    return made


def _verifying(authority: Material | None, now: datetime) -> ssl.SSLContext:
    if authority is None:
        return ssl.create_default_context()
    pem = authority.read()
    try:
        made = ssl.create_default_context(cadata=pem.decode("ascii", errors="ignore"))
        seconds = [ssl.cert_time_to_seconds(str(root["notAfter"])) for root in made.get_ca_certs()]
    except (ssl.SSLError, ValueError) as problem:
        raise Invalid(f"{authority.origin}: holds no certificates (PEM) of an authority: {problem}") from problem
    ended = max((datetime.fromtimestamp(each, UTC) for each in seconds), default=now)
    if ended < now:
        raise Invalid(
            f"{authority.origin}: the authority's certificate expired on {_day(ended)}; "
            "get a new kubeconfig from the cluster's admin"
        )
    return made


def _introduce(made: ssl.SSLContext, certificate: Material, key: Material | None, now: datetime) -> None:
    pem = certificate.read()
    ended = _end(certificate, pem)
    if ended < now:
        raise Invalid(
            f"{certificate.origin}: the client certificate expired on {_day(ended)}; "
            "get a new kubeconfig from the cluster's admin"
        )
    # The ssl module reads files only; this one is ours alone, and gone before we return.
    with tempfile.NamedTemporaryFile(prefix="isthmus-") as both:
        both.write(pem.strip() + b"\n" + (key.read() if key else b""))
        both.flush()
        try:
            made.load_cert_chain(both.name, password=_no_password)
        except (ssl.SSLError, ValueError) as problem:
            origin = key.origin if key else certificate.origin
            raise Invalid(
                f"{origin}: no private key for the certificate in {certificate.origin}; "
                "both must come from the same file or request"
            ) from problem


def _end(certificate: Material, pem: bytes) -> datetime:
    # Here, since most agents come with a token: the library is 10 MB of memory.
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc
    except ValueError as problem:
        raise Invalid(f"{certificate.origin}: not a PEM certificate: {problem}") from problem


def _no_password() -> str:
    # Without this, an encrypted key would ask on the terminal, and wait.
    raise ValueError("the key is encrypted")


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
