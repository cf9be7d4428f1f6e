"""Tokens of service accounts that end, by time and with what they are bound to (TokenRequest), and whose they are."""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid
from isthmus.kube.client import Client

_KIND = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}

_REVIEWS: Resource[Manifest] = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", dict, namespaced=False
)


@dataclass(frozen=True)
class IssuedToken:
    """A token, for which `audiences`, and until when the server will take it: perhaps sooner than was asked for."""

    token: str = field(repr=False)
    expires: datetime
    audiences: tuple[str, ...] = ()


class _Spec(msgspec.Struct, frozen=True):
    audiences: tuple[str, ...] = ()


class _Status(msgspec.Struct, rename="camel"):
    token: str
    expiration_timestamp: datetime


class _Answer(msgspec.Struct):
    status: _Status
    spec: _Spec = _Spec()


def bound_to(kind: str, name: str, uid: str) -> Manifest:
    """A Secret or Pod as what a token is bound to: once it is deleted, the token is worthless."""
    return {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}


async def request_token(
    client: Client, account: str, *, namespace: str, seconds: int, bound: Manifest | None = None, audience: str = ""
) -> IssuedToken:
    """A token of the account, for the server's own audience if none is named.

    Raises Invalid for an answer that is none, and what `Client.raw` raises.
    """
    spec: Manifest = {"expirationSeconds": seconds}
    spec |= {"boundObjectRef": bound} if bound else {}
    spec |= {"audiences": [audience]} if audience else {}
    path = SERVICE_ACCOUNTS.path(account, namespace=namespace, subresource="token")
    body = await client.raw("POST", path, body=msgspec.json.encode(_KIND | {"spec": spec}))
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.MsgspecError as problem:
        what = f"{client.server} answered a TokenRequest for {account} with something else: {problem}"
        raise Invalid(what) from problem
    return IssuedToken(answer.status.token, answer.status.expiration_timestamp, answer.spec.audiences)


async def user_of(client: Client, token: str) -> str:
    """The name of the user whose token it is, by the server's own audience; empty for one that is worth nothing."""
    review = {"apiVersion": _REVIEWS.api_version, "kind": _REVIEWS.kind, "spec": {"token": token}}
    status = (await client.create(_REVIEWS, review)).get("status") or {}
    return str((status.get("user") or {}).get("username", "")) if status.get("authenticated") is True else ""
