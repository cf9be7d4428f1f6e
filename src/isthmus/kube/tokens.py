"""Tokens of service accounts that end: by time, and with an object that they are bound to (TokenRequest)."""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from isthmus.api.meta import Object
from isthmus.api.scheme import Resource
from isthmus.kube.client import Client

_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", Object)


@dataclass(frozen=True)
class IssuedToken:
    """A token, and until when the server will take it, which may be sooner than was asked for."""

    token: str = field(repr=False)
    expires: datetime


class _Status(msgspec.Struct, rename="camel"):
    token: str
    expiration_timestamp: datetime


class _Answer(msgspec.Struct):
    status: _Status


async def request_token(
    client: Client, account: str, *, namespace: str, seconds: int, bound: tuple[str, str] = ("", "")
) -> IssuedToken:
    """A token of the account, worthless once the Secret `bound` (its name and UID) is deleted."""
    spec: dict[str, object] = {"expirationSeconds": seconds}
    if bound[0]:
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Secret", "name": bound[0], "uid": bound[1]}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = _ACCOUNTS.path(account, namespace=namespace, subresource="token")
    answer = msgspec.json.decode(await client.raw("POST", path, body=msgspec.json.encode(request)), type=_Answer)
    return IssuedToken(answer.status.token, answer.status.expiration_timestamp)
