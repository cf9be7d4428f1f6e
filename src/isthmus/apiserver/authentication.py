"""Who is asking: a client certificate, or a service account's signed token."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.pki import SigningKey
from isthmus.apiserver.rbac import quoted
from isthmus.apiserver.status import unauthorized
from isthmus.apiserver.storage import Record

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUTHENTICATED, ANONYMOUS = "system:authenticated", "system:anonymous"
UNAUTHENTICATED, MASTERS = "system:unauthenticated", "system:masters"
SERVICE_ACCOUNTS, SERVICE_ACCOUNT_PREFIX = "system:serviceaccounts", "system:serviceaccount:"
CREDENTIAL = "authentication.kubernetes.io/credential-id"
# What a token may be bound to, and where that is kept.
BINDABLE: Mapping[str, str] = {"pod": "pods", "secret": "secrets", "node": "nodes"}
MAX_TOKEN = 16 * 1024
# Seconds that clocks may differ.
LEEWAY = 60


@dataclass(frozen=True, slots=True)
class User:
    """A caller whose identity is proved."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def info(self) -> Manifest:
        """As the review kinds tell it."""
        found: Manifest = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            found["uid"] = self.uid
        if self.extra:
            found["extra"] = {name: list(values) for name, values in self.extra.items()}
        return found


# Who asks without saying who it is, and the server itself.
NOBODY = User(ANONYMOUS, (UNAUTHENTICATED,))
SERVER = User("system:apiserver", (MASTERS, AUTHENTICATED))


class Untrusted(Exception):  # never leaves the modules that read tokens
    """Not a token that this server believes; the words are for the reviewer of one that it once issued."""


class Tokens:
    """Makes and checks service account tokens (JWT, ES256)."""

    def __init__(self, cluster: Cluster, key: SigningKey) -> None:
        self._cluster = cluster
        self._key = key
        self._verified: dict[bytes, Manifest] = {}

    def issue(self, claims: Manifest) -> str:
        """A signed token that says `claims`."""
        header = {"alg": "ES256", "kid": self._key.identity, "typ": "JWT"}
        said = f"{_part(header)}.{_part(claims)}"
        return f"{said}.{_unpadded(self._key.sign(said.encode()))}"

    def user(self, token: str) -> User:
        """Whose token it is, while it, its account and what it is bound to last. Raises Refused (401)."""
        try:
            return self.look_at(token, (ISSUER,))[0]
        except Untrusted as error:
            raise unauthorized() from error

    def look_at(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]]:
        """The user, and for which of `audiences` the token is meant. Raises Untrusted."""
        claims = self._claims(token)
        now = self._cluster.clock.now().timestamp()
        if now >= claims["exp"] + LEEWAY:
            raise Untrusted("service account token has expired")
        if now < claims["nbf"] - LEEWAY:
            raise Untrusted("service account token is not valid yet")
        told = claims["aud"]
        meant = [audience for audience in audiences if audience in told]
        if not meant:
            why = f"token audiences {quoted(told)} is invalid for the target audiences {quoted(audiences)}"
            raise Untrusted(why)
        return self._bearer(claims["kubernetes.io"], claims.get("jti", "")), meant

    def _bearer(self, bound: Manifest, identity: str) -> User:
        namespace, account = bound["namespace"], bound["serviceaccount"]
        found = self._cluster.find("serviceaccounts", account["name"], namespace)
        if found is None:
            raise Untrusted(f'serviceaccounts "{account["name"]}" not found')
        if found.uid != account["uid"]:
            raise Untrusted(f"service account UID ({found.uid}) does not match claim ({account['uid']})")
        if self._is_long_dying(found):
            raise Untrusted(f"service account {namespace}/{account['name']} has been deleted")
        extra = {CREDENTIAL: [f"JTI={identity}"]}
        for kind, collection in BINDABLE.items():
            if about := bound.get(kind):
                # Of a pod's token, its node is only told.
                if kind != "node" or "pod" not in bound:
                    self._check_there(collection, "" if kind == "node" else namespace, about)
                if kind != "secret":
                    told = {part: [about[part]] for part in ("name", "uid") if about.get(part)}
                    extra |= {f"authentication.kubernetes.io/{kind}-{part}": text for part, text in told.items()}
        groups = (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}", AUTHENTICATED)
        return User(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{account['name']}", groups, account["uid"], extra)

    def _check_there(self, collection: str, namespace: str, about: Manifest) -> None:
        found = self._cluster.find(collection, about["name"], namespace)
        if found is None or found.uid != about["uid"] or self._is_long_dying(found):
            raise Untrusted("service account token has been invalidated")

    def _is_long_dying(self, record: Record) -> bool:
        if not record.dying:
            return False
        since = datetime.fromisoformat(record.manifest()["metadata"]["deletionTimestamp"])
        return self._cluster.clock.now() - since > timedelta(seconds=LEEWAY)

    def _claims(self, token: str) -> Manifest:
        """What a well-signed token of ours says; signatures are checked once per token."""
        if len(token) > MAX_TOKEN:
            raise Untrusted
        digest = hashlib.sha256(token.encode()).digest()
        if digest in self._verified:
            return self._verified[digest]
        said, _, signature = token.rpartition(".")
        try:
            head, _, body = said.partition(".")
            header, claims = msgspec.json.decode(_bytes(head)), msgspec.json.decode(_bytes(body))
            if header.get("alg") != "ES256" or not self._key.signed(said.encode(), _bytes(signature)):
                raise Untrusted
        except (ValueError, AttributeError, msgspec.MsgspecError) as error:
            raise Untrusted from error
        if not isinstance(claims, dict) or claims.get("iss") != ISSUER:
            raise Untrusted
        if len(self._verified) >= 1024:
            self._verified.clear()
        self._verified[digest] = claims
        return claims


def of_certificate(subject: Mapping[str, Sequence[str]], digest: str) -> User | None:
    """The user that a verified client certificate names: CN is the user, O the groups."""
    names = subject.get("commonName")
    if not names:
        return None
    groups = dict.fromkeys((*subject.get("organizationName", ()), AUTHENTICATED))
    return User(names[-1], tuple(groups), extra={CREDENTIAL: [f"X509SHA256={digest}"]})


def _part(value: Manifest) -> str:
    return _unpadded(msgspec.json.encode(value))


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
