"""`isthmus credential` as it is typed."""

import asyncio
import secrets
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.core import SECRETS
from isthmus.cli.main import cli
from isthmus.errors import Invalid, NotFound
from isthmus.hub.bootstrap import bootstrap_member
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.cluster import BY_HAND, TestCluster
from tests.clusters import cluster

__all__ = ["cluster"]


async def typed(cluster: TestCluster, line: str) -> Result:
    """While the cluster, member and hub at once, is served by this very process."""
    file = cluster.host.kubeconfig
    context = load_kubeconfig([file]).context
    words = ["credential", *line.split(), "--kubeconfig", str(file), "--hub-context", context]
    return await asyncio.to_thread(CliRunner().invoke, cli, words)


async def is_east(cluster: TestCluster) -> None:
    """It says that it is that member."""
    await bootstrap_member(cluster.client)
    itself = {"metadata": {"name": CLUSTER_ID}, "spec": {"value": "east"}}
    await cluster.client.apply(CLUSTER_PROPERTIES, itself, options=BY_HAND)


@pytest.mark.requirement("CRED-8", "CRED-15")
async def test_a_grant_is_given_told_and_taken_back(cluster: TestCluster) -> None:
    namespace = f"consumer-{secrets.token_hex(3)}"
    await cluster.namespace(namespace)
    await is_east(cluster)
    given = await typed(cluster, f"grant east --namespace {namespace} --days 1")
    assert given.exit_code == 0, given.exception
    assert f"The consumer in {namespace} is view of the whole cluster in east until 20" in given.stdout
    secret = await cluster.client.get(SECRETS, "east", namespace=namespace)
    assert secret["data"].keys() == {"token", "kubeconfig"}
    assert secret["data"]["token"] not in given.output
    # What it says ends it does, as it stands.
    said = given.stdout.partition("To end it:  isthmus ")[2]
    taken = await asyncio.to_thread(CliRunner().invoke, cli, shlex.split(said))
    assert "4 objects are gone" in taken.stdout, taken.output
    with pytest.raises(NotFound):
        await cluster.client.get(SECRETS, "east", namespace=namespace)


async def test_a_grant_that_cannot_be_says_what_to_do(cluster: TestCluster) -> None:
    await is_east(cluster)
    nowhere = await typed(cluster, "grant east --namespace no-such-place")
    assert isinstance(nowhere.exception, Invalid)
    assert "make the consumer's namespace on the hub first" in str(nowhere.exception)
    unnamed = await typed(cluster, "grant East --namespace default")
    assert "not one DNS label" in str(unnamed.exception)


@pytest.mark.requirement("CRED-12")
@pytest.mark.parametrize("plugin", ["secretreader", "kubeconfig-secretreader"])
def test_a_plugin_without_a_question_says_so_on_stderr(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_EXEC_INFO", raising=False)
    told = CliRunner().invoke(cli, ["credential", plugin])
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith(f"[{plugin}] KUBERNETES_EXEC_INFO is not set")


@pytest.mark.parametrize("command", [[], ["grant"], ["revoke"], ["secretreader"], ["kubeconfig-secretreader"]])
def test_every_command_helps(command: list[str]) -> None:
    told = CliRunner().invoke(cli, ["credential", *command, "--help"])
    assert told.exit_code == 0
    assert "Example:" in told.stdout


def test_kubeconfigs_are_files(tmp_path: Path) -> None:
    words = ["credential", "grant", "east", "-n", "a", "--hub-context", "h", "--kubeconfig", str(tmp_path / "none")]
    assert CliRunner().invoke(cli, words).exit_code == 2
