"""Who is asking: a client certificate, or a service account's signed token."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.pki import SigningKey
from isthmus.apiserver.status import unauthorized

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUTHENTICATED, ANONYMOUS = "system:authenticated", "system:anonymous"
SERVICE_ACCOUNTS = "system:serviceaccounts"
MAX_TOKEN = 16 * 1024


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

    def user(self, token: str, audiences: Sequence[str] = (ISSUER,)) -> User:
        """Whose token it is, while it, its account and what it is bound to last. Raises Refused (401)."""
        claims = self._claims(token)
        bound = claims.get("kubernetes.io") or {}
        now = self._cluster.clock.now().timestamp()
        if claims.get("iss") != ISSUER or not claims.get("nbf", 0) - 60 <= now < claims.get("exp", 0):
            raise unauthorized()
        if not set(audiences) & set(claims.get("aud") or ()):
            raise unauthorized()
        namespace, account = bound.get("namespace", ""), bound.get("serviceaccount") or {}
        self._check_there("serviceaccounts", namespace, account)
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims.get('jti', '')}"]}
        for kind, collection in (("pod", "pods"), ("secret", "secrets"), ("node", "nodes")):
            if about := bound.get(kind):
                self._check_there(collection, "" if kind == "node" else namespace, about)
                extra[f"authentication.kubernetes.io/{kind}-name"] = [about["name"]]
                extra[f"authentication.kubernetes.io/{kind}-uid"] = [about["uid"]]
        groups = (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}", AUTHENTICATED)
        name = f"system:serviceaccount:{namespace}:{account['name']}"
        return User(name, groups, account["uid"], extra)

    def _check_there(self, collection: str, namespace: str, about: Manifest) -> None:
        found = self._cluster.find(collection, str(about.get("name", "")), namespace)
        if found is None or found.uid != about.get("uid"):
            raise unauthorized()

    def _claims(self, token: str) -> Manifest:
        """What a well-signed token says; signatures are checked once per token."""
        if len(token) > MAX_TOKEN:
            raise unauthorized()
        digest = hashlib.sha256(token.encode()).digest()
        if digest in self._verified:
            return self._verified[digest]
        said, _, signature = token.rpartition(".")
        try:
            head, _, body = said.partition(".")
            header, claims = msgspec.json.decode(_bytes(head)), msgspec.json.decode(_bytes(body))
            if header.get("alg") != "ES256" or not self._key.signed(said.encode(), _bytes(signature)):
                raise unauthorized()
        except (ValueError, AttributeError, msgspec.MsgspecError) as error:
            raise unauthorized() from error
        if not isinstance(claims, dict):
            raise unauthorized()
        if len(self._verified) >= 1024:
            self._verified.clear()
        self._verified[digest] = claims
        return claims


def of_certificate(subject: Mapping[str, Sequence[str]]) -> User | None:
    """The user that a verified client certificate names: CN is the user, O the groups."""
    names = subject.get("commonName")
    if not names:
        return None
    return User(names[-1], (*subject.get("organizationName", ()), AUTHENTICATED))


def _part(value: Manifest) -> str:
    return _unpadded(msgspec.json.encode(value))


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
