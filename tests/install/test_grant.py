"""Access for one consumer: what it makes, whom it refuses, and that it ends."""

import base64
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.access import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS
from isthmus.api.core import CONFIG_MAPS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid, NotFound, Refused
from isthmus.install.grant import CONSUMER_LABEL, Grant, grant, revoke
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.kube.tls import Material, Trust
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually
from tests.install.conftest import ROOT, Secured


@dataclass
class Pair:
    """A member that is its own hub, an admin's client for both, and a consumer's namespace there."""

    client: Client
    kubeconfig: Path
    namespace: str

    def wanted(self, **rest: object) -> Grant:
        return Grant("east", self.namespace, **rest)  # type: ignore[arg-type]  # fields by name

    async def handed(self) -> dict[str, str]:
        """What the consumer finds."""
        secret = await self.client.get(SECRETS, "east", namespace=self.namespace)
        return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}

    async def consumer(self) -> Client:
        """A client with the token alone."""
        config = load_kubeconfig([self.kubeconfig])
        token = Material("token", (await self.handed())["token"].encode())
        return Client(Config(config.server, trust=Trust(config.trust.authority), token=token))

    async def made(self, kind: Resource[Manifest]) -> list[Manifest]:
        """What bears the consumer's label."""
        options = ListOptions(labels=f"{CONSUMER_LABEL}={self.namespace}")
        return list((await self.client.list(kind, options=options)).items)


@pytest.fixture
async def pair(secured: Secured, root: Client) -> AsyncIterator[Pair]:
    """Both, cleared away afterwards."""
    namespace = f"consumer-{secrets.token_hex(3)}"
    await root.apply(NAMESPACES, {"metadata": {"name": namespace}}, options=BY_HAND)
    await root.apply(CLUSTER_PROPERTIES, itself("east"), options=BY_HAND)
    pair = Pair(root, secured.kubeconfig(ROOT), namespace)
    yield pair
    await root.delete(CLUSTER_PROPERTIES, CLUSTER_ID)
    await revoke(root, root, pair.wanted())
    await root.delete(NAMESPACES, namespace)


def itself(name: str) -> Manifest:
    """What a cluster says that it is."""
    return {"metadata": {"name": CLUSTER_ID}, "spec": {"value": name}}


async def can_read(client: Client, namespace: str) -> bool:
    try:
        await client.list(CONFIG_MAPS, namespace=namespace)
    except Refused:
        return False
    return True


@pytest.mark.requirement("CRED-8", "CRED-15")
async def test_a_grant_lets_one_consumer_in_as_its_role_and_revoking_ends_it(pair: Pair) -> None:
    expires = await grant(pair.client, pair.client, pair.wanted(seconds=7200))
    assert timedelta(minutes=50) < expires - datetime.now(UTC) < timedelta(hours=2, minutes=5)
    handed = await pair.handed()
    document = yaml.safe_load(handed["kubeconfig"])
    assert document["users"][0]["user"] == {"token": handed["token"]}
    async with await pair.consumer() as consumer:

        async def reads() -> bool:
            return await can_read(consumer, "default")

        await eventually(reads)
        with pytest.raises(Refused):
            await consumer.list(SECRETS, namespace="default")
        await revoke(pair.client, pair.client, pair.wanted())

        async def shut_out() -> bool:
            return not await can_read(consumer, "default")

        await eventually(shut_out)
    for kind in (SECRETS, SERVICE_ACCOUNTS, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
        assert await pair.made(kind) == []
    with pytest.raises(NotFound):
        await pair.client.get(SECRETS, "east", namespace=pair.namespace)


async def test_a_grant_may_be_for_some_namespaces_and_is_renewed_by_repeating_it(pair: Pair) -> None:
    wanted = pair.wanted(places=(pair.namespace,))
    await grant(pair.client, pair.client, wanted)
    first = await pair.handed()
    await grant(pair.client, pair.client, wanted)
    assert await pair.handed() != first
    (account,) = await pair.made(SERVICE_ACCOUNTS)
    assert account["metadata"]["namespace"] == SYSTEM_NAMESPACE
    assert await pair.made(CLUSTER_ROLE_BINDINGS) == []
    async with await pair.consumer() as consumer:

        async def only_there() -> bool:
            return await can_read(consumer, pair.namespace) and not await can_read(consumer, "default")

        await eventually(only_there)


@pytest.mark.requirement("CRED-8")
async def test_nothing_is_written_where_something_is_missing_or_is_not_ours(pair: Pair) -> None:
    async def nothing() -> bool:
        return not await pair.made(SERVICE_ACCOUNTS)

    with pytest.raises(Invalid, match="no ClusterRole no-such-role"):
        await grant(pair.client, pair.client, pair.wanted(role="no-such-role"))
    with pytest.raises(Invalid, match="no namespace not-there"):
        await grant(pair.client, pair.client, Grant("east", "not-there"))
    theirs = {"metadata": {"name": "east", "namespace": pair.namespace}, "stringData": {"token": "theirs"}}
    await pair.client.apply(SECRETS, theirs, options=BY_HAND)
    with pytest.raises(Invalid, match="is not ours"):
        await grant(pair.client, pair.client, pair.wanted())
    with pytest.raises(Invalid, match="is not ours"):
        await revoke(pair.client, pair.client, pair.wanted())
    assert await nothing()
    assert (await pair.handed())["token"] == "theirs"
    await pair.client.delete(SECRETS, "east", namespace=pair.namespace)


async def test_a_token_is_handed_out_as_that_of_the_member_that_it_is_of(pair: Pair) -> None:
    wanted = Grant("west", pair.namespace)
    with pytest.raises(Invalid, match=r"is cluster east .*choose the context of west with --context"):
        await grant(pair.client, pair.client, wanted)
    await pair.client.delete(CLUSTER_PROPERTIES, CLUSTER_ID)
    with pytest.raises(Invalid, match="does not say which member it is"):
        await grant(pair.client, pair.client, wanted)
    await pair.client.apply(CLUSTER_PROPERTIES, itself("east"), options=BY_HAND)
    assert await pair.made(SERVICE_ACCOUNTS) == []
    with pytest.raises(NotFound):
        await pair.client.get(SECRETS, "west", namespace=pair.namespace)


@pytest.mark.parametrize(("member", "namespace"), [("East", "a"), ("east", "a.b"), ("", "a"), ("a/b", "a")])
def test_names_that_cannot_be_are_refused(member: str, namespace: str) -> None:
    with pytest.raises(Invalid, match="not one DNS label"):
        Grant(member, namespace)


def test_accounts_of_consumers_with_long_names_differ_and_fit() -> None:
    accounts = {Grant("east", "a" * 62 + letter).account for letter in "xyz"}
    assert len(accounts) == 3
    assert all(len(account) <= 63 for account in accounts)


async def test_the_account_mounts_nothing_by_itself(pair: Pair) -> None:
    await grant(pair.client, pair.client, pair.wanted())
    (account,) = await pair.made(SERVICE_ACCOUNTS)
    assert account["automountServiceAccountToken"] is False
    assert (await pair.client.get(NAMESPACES, SYSTEM_NAMESPACE)).metadata.name == SYSTEM_NAMESPACE
