"""Credentials that renew themselves: by a member's own token, on a hub with its policies."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from isthmus.agent.renewal import Claims, claims, in_file, in_secret, life_left, renew, until_due
from isthmus.api.core import NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, Refused
from isthmus.install.manifests import apply
from isthmus.install.roles import HUB_SECRET, member_access
from isthmus.inventory.controllers.access import gone
from isthmus.inventory.rules.joining import accounts, anchor
from isthmus.kit.clock import FakeClock
from isthmus.kube.client import Client, WriteOptions
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.tls import Material, Trust
from isthmus.testing.cluster import TestCluster
from isthmus.testing.waiting import eventually
from tests.joiners import bound, issued

MEMBER, TOKEN_ID = "renewed", "0123456789"
HOURS = 3600.0


def jwt(**said: object) -> str:
    parts = ({"alg": "none"}, said)
    head, body = (base64.urlsafe_b64encode(msgspec.json.encode(part)).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.c2ln"


def test_a_token_says_what_it_is_bound_to() -> None:
    about = {"namespace": MEMBERS_NAMESPACE, "serviceaccount": {"name": "east", "uid": "a"}}
    seen = claims(jwt(iat=0, exp=86_400, **{"kubernetes.io": about | {"secret": {"name": "east-x", "uid": "s"}}}))
    assert seen is not None
    assert (seen.account, seen.secret, seen.uid) == ("east", "east-x", "s")
    assert seen.issued == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hour", "hours"),
    [
        pytest.param(0, 12, id="a new token"),
        pytest.param(9, 3, id="one of some age"),
        pytest.param(13, 0, id="one that is late"),
        pytest.param(-40, 12, id="a clock that is days behind lets none run out"),
    ],
)
def test_a_token_is_renewed_at_half_of_its_life(hour: int, hours: int) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    seen = Claims("east", "east-x", "s", noon, noon + timedelta(hours=24))
    assert until_due(seen, noon + timedelta(hours=hour), 0.5) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("hour", "left"),
    [
        pytest.param(0, 1.0, id="new"),
        pytest.param(18, 0.25, id="late"),
        pytest.param(30, 0.0, id="over"),
    ],
)
def test_what_is_left_of_a_token_s_life_is_a_share_of_it(hour: int, left: float) -> None:
    about = {"namespace": MEMBERS_NAMESPACE, "serviceaccount": {"name": "east"}, "secret": {"name": "x"}}
    token = Material("token", jwt(iat=0, exp=86_400, **{"kubernetes.io": about}).encode())
    assert life_left(token, datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)) == left
    assert life_left(Material("token", b"opaque"), datetime(1970, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("opaque", id="no JWT"),
        pytest.param("a.b.c", id="no base64"),
        pytest.param(jwt(sub="x"), id="of no account"),
        pytest.param(
            jwt(iat=0, exp=1, **{"kubernetes.io": {"namespace": MEMBERS_NAMESPACE, "serviceaccount": {"name": "e"}}}),
            id="bound to nothing, as a pod's is to no Secret",
        ),
        pytest.param(
            jwt(
                iat=0,
                exp=1,
                **{
                    "kubernetes.io": {
                        "namespace": "prod",
                        "serviceaccount": {"name": "e"},
                        "secret": {"name": "s"},
                    }
                },
            ),
            id="of another namespace",
        ),
        pytest.param(
            jwt(iat=0, exp=1 << 80, **{"kubernetes.io": {"namespace": "x", "serviceaccount": {"name": "e"}}}),
            id="a moment that is none",
        ),
    ],
)
def test_what_cannot_be_renewed_is_known(token: str) -> None:
    assert claims(token) is None


@dataclass
class Place:
    """A member's credential at a hub: its file, and a client that reads it for each request."""

    hub: Client
    admin: Client
    file: Path

    def token(self) -> str:
        return self.file.read_text()


@pytest.fixture
async def place(cluster: TestCluster, tmp_path: Path) -> AsyncIterator[Place]:
    admin = cluster.client
    for name in (MEMBERS_NAMESPACE, SYSTEM_NAMESPACE, "renewing"):
        manifest: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await admin.apply(NAMESPACES, manifest, options=WriteOptions(manager="test", force=True))
    for account in accounts(MEMBER, "renewing"):
        await admin.create(SERVICE_ACCOUNTS, account)
    secret = await admin.create(SECRETS, anchor(MEMBER, "renewing", TOKEN_ID))
    await apply(admin, member_access("renewing", MEMBER))
    file = tmp_path / "token"
    reference = bound(secret["metadata"]["name"], secret["metadata"]["uid"])
    file.write_text(await issued(admin, MEMBER, {"boundObjectRef": reference, "expirationSeconds": 86_400}))
    config = load_kubeconfig([cluster.host.kubeconfig])
    mine = replace(config, trust=Trust(config.trust.authority), token=Material("token", file=file))
    async with Client(mine) as hub:
        yield Place(hub, admin, file)
    for account in accounts(MEMBER, "renewing"):
        await gone(admin, SERVICE_ACCOUNTS, account["metadata"]["name"], MEMBERS_NAMESPACE)
    await gone(admin, SECRETS, f"{MEMBER}-{TOKEN_ID}", MEMBERS_NAMESPACE)


@asynccontextmanager
async def renewing(place: Place, clock: FakeClock) -> AsyncIterator[None]:
    task = asyncio.create_task(renew(place.hub, Material("token", file=place.file), in_file(place.file), clock=clock))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_token_is_renewed_well_before_it_ends_and_bound_as_before(place: Place) -> None:
    first = claims(place.token())
    assert first is not None
    clock = FakeClock(first.issued)
    async with renewing(place, clock):
        await clock.advance(9 * HOURS)
        assert claims(place.token()) == first

        async def is_new() -> bool:
            await clock.advance(60)
            return claims(place.token()) != first

        await eventually(is_new, what="a new token, between four and five tenths of its life")
        assert clock.now() - first.issued < timedelta(hours=13)
        second = claims(place.token())
        assert second is not None
        assert (second.account, second.secret, second.uid) == (first.account, first.secret, first.uid)
        await issued(place.hub, MEMBER, {"boundObjectRef": bound(second.secret, second.uid)})
        await gone(place.admin, SECRETS, second.secret, MEMBERS_NAMESPACE)

        async def is_worthless() -> bool:
            try:
                await issued(place.hub, MEMBER, {"boundObjectRef": bound(second.secret)})
            except Refused as no:
                return no.code == 401
            return False

        await eventually(is_worthless, within=30.0, what="a renewed token ends with the same Secret")


async def test_what_fails_is_tried_again_until_it_is_allowed(place: Place) -> None:
    first = claims(place.token())
    assert first is not None
    clock = FakeClock(first.issued)
    tried: list[str] = []

    async def keep(token: str) -> None:
        tried.append(token)
        if len(tried) < 3:
            raise Invalid("the disk is full")
        await in_file(place.file)(token)

    task = asyncio.create_task(renew(place.hub, Material("token", file=place.file), keep, clock=clock))

    async def is_kept() -> bool:
        await clock.advance(600)
        return len(tried) >= 3

    await eventually(is_kept)
    task.cancel()
    await asyncio.wait([task])
    assert place.token() == tried[2]


async def test_pods_find_the_new_token_in_their_secret(place: Place) -> None:
    secret: Manifest = {"metadata": {"name": HUB_SECRET}, "data": {"kubeconfig": "YQ==", "token": "YQ=="}}
    await place.admin.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", **secret}, namespace=SYSTEM_NAMESPACE)
    try:
        await in_secret(place.admin)("new")
        seen = await place.admin.get(SECRETS, HUB_SECRET, namespace=SYSTEM_NAMESPACE)
    finally:
        await gone(place.admin, SECRETS, HUB_SECRET, SYSTEM_NAMESPACE)
    assert seen["data"] == {"kubeconfig": "YQ==", "token": base64.b64encode(b"new").decode()}


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"token cannot be written: .*permissions"):
        await in_file(tmp_path / "nowhere" / "token")("new")
