"""A cluster that wants to join, call by call: what a member's own tools do, and what an attacker would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from isthmus.api.core import LEASES, SERVICE_ACCOUNTS
from isthmus.api.isthmus import JOIN_REQUESTS, MEMBERS_NAMESPACE, JoinRequest
from isthmus.api.scheme import Manifest
from isthmus.inventory.rules.joining import JoinToken
from isthmus.kit.clock import SYSTEM
from isthmus.kube.client import Client
from isthmus.kube.config import Config
from isthmus.kube.lease import micro_time
from isthmus.kube.tls import Material, Trust
from isthmus.testing.waiting import eventually


@asynccontextmanager
async def bearer_client(token: JoinToken, bearer: str = "") -> AsyncIterator[Client]:
    """A client for the token's hub, as the token's account or with another token."""
    trust = Trust(Material("token", token.authority.encode()))
    config = Config(token.server, "hub", "default", trust, token=Material("token", (bearer or token.bearer).encode()))
    async with Client(config) as client:
        yield client


@dataclass(frozen=True)
class Joiner:
    """One cluster with a join token."""

    token: JoinToken
    client: Client

    async def ask(self, cluster: str, uid: str, **more: object) -> JoinRequest:
        """Write the request."""
        spec: Manifest = {"cluster": cluster, "set": self.token.set, "uid": uid, **more}
        full = {"apiVersion": JOIN_REQUESTS.api_version, "kind": JOIN_REQUESTS.kind}
        manifest = full | {"metadata": {"name": self.token.name}, "spec": spec}
        return await self.client.create(JOIN_REQUESTS, manifest, namespace=MEMBERS_NAMESPACE)

    async def answered(self, phase: str, *, within: float = 20.0) -> JoinRequest:
        """The request, once it is in that phase; an approved one once it says the credential."""

        async def check() -> JoinRequest | None:
            seen = await self.client.get(JOIN_REQUESTS, self.token.name, namespace=MEMBERS_NAMESPACE)
            if seen.status is None or seen.status.phase != phase:
                return None
            return seen if phase != "Approved" or seen.status.credential is not None else None

        return await eventually(check, within=within, what=f"{self.token.name} is {phase}")

    async def own_token(self, request: JoinRequest, **spec: object) -> str:
        """A token of the member's account, bound as the hub says unless told otherwise."""
        assert request.status is not None
        assert request.status.credential is not None
        credential = request.status.credential
        return await issued(
            self.client,
            credential.account,
            {"boundObjectRef": bound(credential.secret, credential.uid), "expirationSeconds": 86_400, **spec},
        )

    async def joined(self, cluster: str, uid: str) -> str:
        """All of it: a member's token, after its first sign of life."""
        await self.ask(cluster, uid)
        token = await self.own_token(await self.answered("Approved"))
        async with bearer_client(self.token, token) as member:
            await beat(member, cluster)
        return token


def bound(secret: str, uid: str = "") -> Manifest:
    """A reference to a Secret, as a TokenRequest has it."""
    return {"kind": "Secret", "apiVersion": "v1", "name": secret} | ({"uid": uid} if uid else {})


async def issued(client: Client, account: str, spec: Manifest) -> str:
    """A token of that account."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = SERVICE_ACCOUNTS.path(account, namespace=MEMBERS_NAMESPACE, subresource="token")
    answer = await client.raw("POST", path, body=msgspec.json.encode(request))
    return str(msgspec.json.decode(answer)["status"]["token"])


async def beat(member: Client, name: str) -> None:
    """One sign of life."""
    spec = {"holderIdentity": name, "leaseDurationSeconds": 30, "renewTime": micro_time(SYSTEM.now())}
    manifest = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": name}, "spec": spec}
    await member.apply(LEASES, manifest, namespace=MEMBERS_NAMESPACE)
