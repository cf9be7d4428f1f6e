"""`isthmus token`, `approve`, `deny` and `remove` as they are typed, against a hub of either kind."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from isthmus.api.core import SECRETS
from isthmus.api.isthmus import JOIN_REQUESTS, MEMBERS, MEMBERS_NAMESPACE
from isthmus.cli.main import cli
from isthmus.errors import Invalid
from isthmus.hub.bootstrap import NewMember, bootstrap_hub
from isthmus.inventory.rules.joining import read_token
from isthmus.testing.cluster import BY_HAND, TestCluster
from tests.clusters import cluster
from tests.joiners import Joiner, bearer_client

__all__ = ["cluster"]


@dataclass(frozen=True)
class Hub:
    """The hub of two sets, without its controller; the sets' names are this test's own."""

    cluster: TestCluster
    a: str
    b: str

    async def typed(self, line: str) -> Result:
        """What `isthmus` says to that, `{a}` and `{b}` being the sets; the hub may be served by this very process."""
        words = line.format(a=self.a, b=self.b).split()
        at = ["--kubeconfig", str(self.cluster.host.kubeconfig)]
        return await asyncio.to_thread(CliRunner().invoke, cli, [*words, *at])


@pytest.fixture
async def hub(cluster: TestCluster) -> AsyncIterator[Hub]:
    token = secrets.token_hex(3)
    hub = Hub(cluster, f"a-{token}", f"b-{token}")
    for name in (hub.a, hub.b):
        await bootstrap_hub(cluster.client, name, [NewMember(f"{name}-east", uid=f"u-{name}")])
        cluster.cleared_later(name)
    yield hub
    await cluster.client.delete_collection(JOIN_REQUESTS, namespace=MEMBERS_NAMESPACE)
    await cluster.client.delete_collection(SECRETS, namespace=MEMBERS_NAMESPACE)


async def test_a_token_is_printed_alone_and_listed_and_revoked(hub: Hub) -> None:
    made = await hub.typed("token create --set {a} --cluster west --ttl 30m --server https://hub.example")
    assert made.exit_code == 0, made.output
    token = read_token(made.stdout)
    assert (token.server, token.set, token.cluster) == ("https://hub.example", hub.a, "west")
    assert f"isthmus token revoke {token.id}" in made.stderr
    assert token.bearer not in made.stderr
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        listed = await hub.typed(f"token list --set {hub.a} -o {form}")
        (item,) = read(listed.stdout)
        assert (item["id"], item["set"], item["cluster"], item["phase"]) == (token.id, hub.a, "west", "Unused")
        assert token.bearer not in listed.output
    assert token.id in (await hub.typed("token list --set {a}")).stdout
    assert "No tokens" in (await hub.typed("token list --set {b}")).stderr
    assert (await hub.typed(f"token revoke {token.id}")).exit_code == 0
    again = await hub.typed(f"token revoke {token.id}")
    assert isinstance(again.exception, Invalid)


async def test_an_admin_answers_by_the_clusters_name(hub: Hub) -> None:
    line = f"token create --set {hub.a} --server {hub.cluster.client.server}"
    token = read_token((await hub.typed(line)).stdout)
    async with bearer_client(token) as client:
        await Joiner(token, client).ask("south", "u-south")
    denied = await hub.typed(f"deny {token.name} --reason unknown")
    assert denied.stdout == "south (kube-system UID u-south) may not join.\n"
    seen = await hub.cluster.client.get(JOIN_REQUESTS, token.name, namespace=MEMBERS_NAMESPACE)
    assert seen.status is not None
    assert (seen.status.phase, seen.status.reason) == ("Denied", "an admin refused it: unknown")
    approved = await hub.typed("approve south")
    assert isinstance(approved.exception, Invalid)
    assert "south is Denied already" in str(approved.exception)


async def test_a_member_is_removed_by_force_and_a_silent_one_only_so(hub: Hub) -> None:
    silent = {"spec": {"health": {"state": "Silent", "reason": "no sign of life since noon"}}}
    await hub.cluster.client.merge_patch(MEMBERS, f"{hub.a}-east", silent, namespace=hub.a, options=BY_HAND)
    refused = await hub.typed("remove {a}-east --yes")
    assert f"isthmus remove {hub.a}-east --force" in str(refused.exception)
    removed = await hub.typed("remove {a}-east --force --yes")
    assert removed.stdout == f"{hub.a}-east is removed.\n", removed.exception
    assert f"until its admin types: isthmus install uninstall member --context {hub.a}-east" in removed.stderr
    assert not (await hub.cluster.client.list(MEMBERS, namespace=hub.a)).items
    again = await hub.typed("remove {a}-east --force --yes")
    assert f"knows no member {hub.a}-east" in str(again.exception)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("token create", "Name one with --set", id="several sets, none named"),
        pytest.param("token create --set nowhere", "has no cluster set 'nowhere'", id="a set that is not there"),
        pytest.param("token create --set {a} --ttl soon", "30m, 1h or 2d", id="no time"),
        pytest.param("token create --set {a} --ttl 9999d", "at most 7 days", id="too long"),
        pytest.param("token create --set {a} --cluster A_B", "not one DNS label", id="no name of a cluster"),
        pytest.param("approve nobody", "isthmus token list", id="nobody asks"),
        pytest.param("remove nobody --yes", "isthmus clusters", id="no member"),
    ],
)
async def test_what_cannot_be_says_what_to_type(hub: Hub, line: str, words: str) -> None:
    said = await hub.typed(line)
    assert isinstance(said.exception, Invalid)
    assert words in str(said.exception)


@pytest.mark.parametrize("command", ["token create", "token list", "token revoke", "approve", "deny", "remove"])
def test_help_has_an_example(command: str, tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert f"Example:  isthmus {command}" in shown.output
