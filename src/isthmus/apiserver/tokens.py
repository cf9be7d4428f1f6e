"""TokenRequest: new tokens for service accounts, bound to an object and to a time.

Kubernetes, "Service account tokens"; KEP-1205.
"""

import uuid
from datetime import UTC, datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver.authentication import BINDABLE, ISSUER, SERVICE_ACCOUNT_PREFIX, Tokens
from isthmus.apiserver.causes import wrong
from isthmus.apiserver.cluster import Cluster, timestamp
from isthmus.apiserver.schema import Cause, invalid
from isthmus.apiserver.status import bad_request, not_found
from isthmus.apiserver.storage import Key, Record
from isthmus.errors import Conflict

GROUP, KIND = "authentication.k8s.io", "TokenRequest"
SHORTEST, HOUR, LONGEST = 600, 3600, 1 << 32
# Kubelets ask for so many seconds; programs that never read a new token go on working for a year.
KUBELETS, YEAR = 3607, 365 * 24 * 3600


class TokenRequests:
    """Answers requests for tokens."""

    def __init__(self, cluster: Cluster, tokens: Tokens) -> None:
        self._cluster = cluster
        self._tokens = tokens

    def answer(self, key: Key, sent: Manifest) -> Manifest:
        """A new token for the account `key`; `sent` is read and complete. Raises NotFound, Conflict, Refused."""
        namespace, name = key
        metadata, spec = sent["metadata"], sent["spec"]
        if metadata.get("name", name) != name:
            told = "must match the service account name if specified"
            raise invalid(KIND, GROUP, name, [wrong("metadata.name", metadata["name"], told)])
        account = self._account(key, metadata.get("uid", ""))
        seconds = spec["expirationSeconds"]
        audiences = spec.get("audiences") or [ISSUER]
        if faults := _faults(seconds):
            raise invalid(KIND, GROUP, "", faults)
        bound = self._bound(key, spec.get("boundObjectRef"))
        now = int(self._cluster.clock.now().timestamp())
        lasts = seconds
        if "pod" in bound and seconds == KUBELETS and set(audiences) <= {ISSUER}:
            bound["warnafter"], lasts = now + seconds, YEAR
        named: Manifest = {"namespace": namespace, "serviceaccount": {"name": name, "uid": account.uid}}
        claims = {"iss": ISSUER, "aud": audiences, "iat": now, "nbf": now, "exp": now + lasts}
        claims |= {"jti": str(uuid.uuid4()), "sub": f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"}
        about = {"name": name, "namespace": namespace, "uid": account.uid}
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": KIND,
            "metadata": metadata | about | {"creationTimestamp": timestamp(self._cluster.now())},
            "spec": {"boundObjectRef": None} | spec | {"audiences": audiences, "expirationSeconds": seconds},
            "status": {
                "token": self._tokens.issue(claims | {"kubernetes.io": named | bound}),
                "expirationTimestamp": timestamp(datetime.fromtimestamp(now + seconds, UTC)),
            },
        }

    def _account(self, key: Key, uid: str) -> Record:
        kind = self._cluster.kinds.at("", "v1", "serviceaccounts")
        found = self._cluster.collection(kind).get(key)
        if found is None:
            raise not_found(kind, key[1])
        if uid and uid != found.uid:
            account = f"the UID of the service account ({found.uid})"
            raise _conflict(f"{KIND}.{GROUP}", key[1], f"the UID in the token request ({uid}) does not match {account}")
        return found

    def _bound(self, account: Key, reference: Manifest | None) -> Manifest:
        """What the token's claims say of the object that it is bound to."""
        if reference is None:
            return {}
        what, name, uid = (str(reference.get(part, "")) for part in ("kind", "name", "uid"))
        version = str(reference.get("apiVersion", ""))
        group, _, version = version.rpartition("/")
        if group or what.lower() not in BINDABLE or not what.istitle():
            raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={what}")
        kind = self._cluster.kinds.at("", "v1", BINDABLE[what.lower()])
        found = self._cluster.collection(kind).get((account[0] if kind.namespaced else "", name))
        if found is None:
            raise not_found(kind, name)
        claims: Manifest = {what.lower(): {"name": name, "uid": found.uid}}
        if what == "Pod":
            claims |= self._node_of(account[1], found)
        if uid and uid != found.uid:
            told = "The object might have been deleted and then recreated"
            mismatch = f"the UID in the bound object reference ({uid}) does not match the UID in record. {told}"
            raise _conflict(what, name, mismatch)
        return claims

    def _node_of(self, account: str, pod: Record) -> Manifest:
        spec = pod.manifest()["spec"]
        if spec.get("serviceAccountName") != account:
            raise bad_request(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
        name = spec.get("nodeName", "")
        node = self._cluster.find("nodes", name)
        if not name:
            return {}
        return {"node": {"name": name} | ({"uid": node.uid} if node else {})}


def _faults(seconds: int) -> list[Cause]:
    path = "spec.expirationSeconds"
    if seconds < SHORTEST:
        return [wrong(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > LONGEST:
        return [wrong(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _conflict(what: str, name: str, why: str) -> Conflict:
    kind, _, group = what.partition(".")
    details: dict[str, object] = {"name": name, "group": group, "kind": kind}
    return Conflict(
        code=409,
        reason="Conflict",
        message=f'Operation cannot be fulfilled on {what} "{name}": {why}',
        details={key: value for key, value in details.items() if value},
    )
