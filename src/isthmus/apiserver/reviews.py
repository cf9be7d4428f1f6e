"""Questions about callers: who am I, may I, whose token is this; and tokens for service accounts.

Everyone who is authenticated may do everything: so say the reviews.
"""

import uuid
from datetime import UTC, datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver.authentication import ISSUER, Tokens, User
from isthmus.apiserver.cluster import Cluster, timestamp
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.schema import Cause, invalid
from isthmus.apiserver.status import not_found
from isthmus.apiserver.storage import Key
from isthmus.errors import Refused

SHORTEST, HOUR = 600, 3600
LONGEST = 1 << 32
BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
EVERYTHING: Manifest = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}


class Reviews:
    """Answers the kinds that are asked and never kept."""

    def __init__(self, cluster: Cluster, tokens: Tokens) -> None:
        self._cluster = cluster
        self._tokens = tokens

    def answer(self, kind: Kind, sent: Manifest, user: User) -> Manifest:
        """The review, answered."""
        spec = sent.get("spec") or {}
        about: Manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": sent.get("metadata") or {}}
        if kind.kind == "SelfSubjectReview":
            about["metadata"] |= {"creationTimestamp": timestamp(self._cluster.now())}
            return about | {"status": {"userInfo": user.info()}}
        if kind.kind == "TokenReview":
            return about | {"spec": spec, "status": self._token_status(spec)}
        if kind.kind == "SelfSubjectRulesReview":
            return about | {"spec": spec, "status": EVERYTHING}
        return about | {"spec": spec, "status": {"allowed": True}}

    def _token_status(self, spec: Manifest) -> Manifest:
        audiences = spec.get("audiences") or [ISSUER]
        try:
            user = self._tokens.user(str(spec.get("token", "")), audiences)
        except Refused:
            return {"user": {}, "error": "the token is not valid"}
        return {"authenticated": True, "user": user.info(), "audiences": audiences}

    def token(self, key: Key, sent: Manifest) -> Manifest:
        """A new token for the service account `key` (TokenRequest). Raises NotFound, Refused."""
        accounts = self._cluster.kinds.at("", "v1", "serviceaccounts")
        account = self._cluster.collection(accounts).get(key)
        if account is None:
            raise not_found(accounts, key[1])
        spec = sent.get("spec") or {}
        seconds = spec.get("expirationSeconds") or HOUR
        if not isinstance(seconds, int) or not SHORTEST <= seconds <= LONGEST:
            told = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            cause = Cause("spec.expirationSeconds", "FieldValueInvalid", told)
            raise invalid("TokenRequest", "authentication.k8s.io", "", [cause])
        audiences = spec.get("audiences") or [ISSUER]
        named: Manifest = {"namespace": key[0], "serviceaccount": {"name": key[1], "uid": account.uid}}
        if bound := spec.get("boundObjectRef"):
            named |= self._bound(key[0], bound)
        now = int(self._cluster.clock.now().timestamp())
        claims = {"iss": ISSUER, "aud": audiences, "iat": now, "nbf": now, "exp": now + seconds}
        claims |= {"jti": str(uuid.uuid4()), "sub": f"system:serviceaccount:{key[0]}:{key[1]}"}
        token = self._tokens.issue(claims | {"kubernetes.io": named})
        expires = timestamp(datetime.fromtimestamp(now + seconds, UTC))
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {
                "name": key[1],
                "namespace": key[0],
                "uid": account.uid,
                "creationTimestamp": timestamp(self._cluster.now()),
            },
            "spec": {"boundObjectRef": None} | spec | {"audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": expires},
        }

    def _bound(self, namespace: str, bound: Manifest) -> Manifest:
        what, name = str(bound.get("kind", "")), str(bound.get("name", ""))
        if what not in BINDABLE:
            told = f'Unsupported value: "{what}": supported values: "Node", "Pod", "Secret"'
            cause = Cause("spec.boundObjectRef.kind", "FieldValueNotSupported", told)
            raise invalid("TokenRequest", "authentication.k8s.io", "", [cause])
        kind = self._cluster.kinds.at("", "v1", BINDABLE[what])
        found = self._cluster.collection(kind).get((namespace if kind.namespaced else "", name))
        if found is None or bound.get("uid", found.uid) != found.uid:
            raise not_found(kind, name)
        return {what.lower(): {"name": name, "uid": found.uid}}
