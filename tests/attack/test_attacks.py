"""What is tried with stolen credentials, on both kinds of server: refused, or without effect on anybody else."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from isthmus.api.access import ROLES
from isthmus.api.core import LEASES, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import CLUSTER_LABEL, EXPORTED_SERVICES, MEMBERS, MEMBERS_NAMESPACE
from isthmus.api.meta import Object
from isthmus.errors import APIError, Refused
from isthmus.install.roles import HUB_USER
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.kube.tls import Material
from isthmus.testing.waiting import eventually
from tests.attack.attacks import APPLICANT, ATTACKS, FOREIGN, Attack
from tests.attack.conftest import MALLORY, VICTIM, Row, Stage
from tests.install.conftest import BY_HAND, ROOT, SET
from tests.install.test_joining import controllers
from tests.install.test_policies import export

Act = Callable[[str], Awaitable[Client]]
# Unauthorized, forbidden, no such verb, too large, invalid.
NO = (400, 401, 403, 405, 413, 422)


async def victims(root: Client, stage: Stage) -> list[str]:
    """Everything of the victim on the hub, each with the version that a write would change."""
    member = await root.get(MEMBERS, VICTIM, namespace=SET)
    export = await root.get(EXPORTED_SERVICES, FOREIGN, namespace=SET)
    lease = await root.get(LEASES, VICTIM, namespace=MEMBERS_NAMESPACE)
    found: tuple[Object, ...] = (member, export, lease)
    versions = [f"{type(item).__name__} {item.metadata.uid} {item.metadata.resource_version}" for item in found]
    for kind, name in (
        (SERVICE_ACCOUNTS, VICTIM),
        (SECRETS, stage.secrets[VICTIM]),
        (ROLES, f"isthmus-member-{VICTIM}"),
    ):
        metadata = (await root.get(kind, name, namespace=MEMBERS_NAMESPACE))["metadata"]
        versions.append(f"{kind.kind} {metadata['uid']} {metadata['resourceVersion']}")
    return versions


@pytest.mark.parametrize("attack", [pytest.param(attack, id=attack.id) for attack in ATTACKS])
async def test_what_is_not_ones_own_is_refused(
    attack: Attack, act: Act, stage: Stage, kind: str, ledger: list[Row]
) -> None:
    root = await act(ROOT)
    before = await victims(root, stage)
    client = await act(stage.ticket.name if attack.who == APPLICANT else attack.who)
    with pytest.raises(APIError) as caught:
        await attack.attempt(client, stage)
    ledger.append((kind, _short(attack.who), attack.what, _said(caught.value)))
    assert caught.value.code in NO, caught.value
    assert await victims(root, stage) == before


def _short(who: str) -> str:
    return "the hub's controller" if who == HUB_USER else who


def _said(problem: APIError) -> str:
    policy = re.search(r"ValidatingAdmissionPolicy '([^']+)'", problem.message)
    if policy:
        return f"{problem.code} policy {policy[1]}"
    if "cannot " in problem.message:
        return f"{problem.code} no right"
    return f"{problem.code} {problem.reason}"


async def test_a_member_can_still_do_what_is_its_own(act: Act, stage: Stage) -> None:
    """The other side of the table: it would be easy to refuse everything."""
    mallory = await act(MALLORY)
    await mallory.list(MEMBERS, namespace=SET)
    await mallory.list(EXPORTED_SERVICES, namespace=SET)
    status = {"status": {"agentVersion": "1", "properties": {"region": "eu"}}}
    await mallory.merge_patch(MEMBERS, MALLORY, status, namespace=SET, subresource="status")
    await mallory.merge_patch(LEASES, MALLORY, {"spec": {"holderIdentity": "m"}}, namespace=MEMBERS_NAMESPACE)


async def test_an_admin_of_the_hub_lets_an_older_agent_report(act: Act) -> None:
    mallory, root = await act(MALLORY), await act(ROOT)
    for client, version in ((mallory, 2), (root, 0), (mallory, 1)):
        status = {"status": {"rulesVersion": version}}
        await client.merge_patch(MEMBERS, MALLORY, status, namespace=SET, subresource="status")


async def test_metadata_that_only_the_server_writes_cannot_be_forged(act: Act, ledger: list[Row], kind: str) -> None:
    mallory, root = await act(MALLORY), await act(ROOT)
    forged = {"metadata": {"uid": "u-victim", "creationTimestamp": "1970-01-01T00:00:00Z", "generation": 99}}
    forged["metadata"] |= {"labels": {"isthmus.dev/cluster": VICTIM}}
    before = await root.get(MEMBERS, MALLORY, namespace=SET)
    try:
        await mallory.merge_patch(MEMBERS, MALLORY, forged, namespace=SET, subresource="status")
        said = "no effect"
    except APIError as problem:
        said = _said(problem)
    after = await root.get(MEMBERS, MALLORY, namespace=SET)
    ledger.append((kind, MALLORY, "metadata by way of one's status", said))
    assert (after.metadata.uid, after.metadata.creation_timestamp) == (
        before.metadata.uid,
        before.metadata.creation_timestamp,
    )
    assert after.metadata.labels == before.metadata.labels


async def test_nobodys_token_is_good_in_another_cluster(stage: Stage, kind: str, ledger: list[Row]) -> None:
    """A hub has no credential of a member: what its own and a member's tokens open is the hub alone."""
    elsewhere = load_kubeconfig([stage.secured.kubeconfig(ROOT, 1)])
    for who, bearer in stage.tokens.items():
        trust = type(elsewhere.trust)(elsewhere.trust.authority)
        config = Config(elsewhere.server, trust=trust, token=Material("token", bearer.encode()))
        async with Client(config) as client:
            with pytest.raises(Refused) as caught:
                await client.list(SECRETS)
        # Both planes of these tests are called alike: a signature of another key is what tells them apart.
        ledger.append((kind, who.partition("-")[0], "its hub token on a member", str(caught.value.code)))
        assert caught.value.code in {401, 403}


async def test_a_member_cannot_fill_the_hub(act: Act, stage: Stage, kind: str, ledger: list[Row]) -> None:
    root, mallory, patch = await act(ROOT), await act(MALLORY), {"spec": {"maxExports": 3}}
    before = await victims(root, stage)

    async def flood(name: str) -> str:
        """What the hub said; nothing if it took it."""
        try:
            await mallory.apply(EXPORTED_SERVICES, export(name), namespace=SET, options=BY_HAND)
        except APIError as problem:
            return _said(problem)
        return ""

    async def held() -> bool:
        names = [item.metadata.name for item in (await root.list(EXPORTED_SERVICES, namespace=SET)).items]
        return len([name for name in names if name.startswith(f"{MALLORY}.")]) <= 3

    await root.merge_patch(MEMBERS, MALLORY, patch, namespace=SET)
    async with controllers(stage.secured, SET):
        answers = await asyncio.gather(*(flood(f"{MALLORY}.team.n{number}") for number in range(60)))
        await eventually(held, within=30.0, what="no more is kept than it may have")
        answers += [await flood(f"{MALLORY}.team.more{number}") for number in range(20)]
        await eventually(held, within=30.0, what="nor later")
        said = await flood(f"{MALLORY}.team.last")
    assert said == "403 policy isthmus-exportedservices-are-not-too-many"
    assert await victims(root, stage) == before
    ledger.append((kind, MALLORY, f"{len(answers)} exports, where it may have three", said))
    labels = ListOptions(labels=f"{CLUSTER_LABEL}={MALLORY}")
    await root.delete_collection(EXPORTED_SERVICES, namespace=SET, options=labels)
