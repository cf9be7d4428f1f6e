"""The kubeconfigs that members get, on servers with all roles and policies."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from isthmus.api.core import SECRETS
from isthmus.api.isthmus import EXPORTED_SERVICES, MEMBERS, MEMBERS_NAMESPACE
from isthmus.errors import Invalid, Refused
from isthmus.install.apply import install
from isthmus.install.credential import Credential, contained, demand_reachable, member_credential
from isthmus.kube.client import Client
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.install.conftest import BY_HAND, OTHER_SET, ROOT, SET, Secured, refused
from tests.install.test_apply import HUB, quiet
from tests.install.test_policies import export

REACHABLE = "https://hub.example.org:6443"


@pytest.fixture
async def root(secured: Secured) -> AsyncIterator[Client]:
    async with secured.client(ROOT) as client:
        await install(client, HUB, say=quiet, wait=False)
        yield client


def at_home(credential: Credential, config: Config, folder: Path) -> Config:
    """The credential, as it is used from this machine."""
    file = folder / "hub.kubeconfig"
    file.write_text(credential.kubeconfig)
    return replace(load_kubeconfig([file]), server=config.server)


async def test_a_member_gets_what_its_agent_needs_until_its_secret_is_deleted(
    kind: str, secured: Secured, root: Client, tmp_path: Path
) -> None:
    config = load_kubeconfig([secured.kubeconfig(ROOT)])
    made = await member_credential(root, config, cluster_set=SET, member="east", server=REACHABLE, seconds=3600)
    assert yaml.safe_load(made.kubeconfig)["clusters"][0]["cluster"]["server"] == REACHABLE
    async with Client(at_home(made, config, tmp_path)) as east:
        assert {item.metadata.name for item in (await east.list(MEMBERS, namespace=SET)).items} >= {"east", "west"}
        await east.apply(EXPORTED_SERVICES, export("east.team.shop"), namespace=SET, options=BY_HAND)
        await east.delete(EXPORTED_SERVICES, "east.team.shop", namespace=SET)
        attempt = east.apply(EXPORTED_SERVICES, export("west.team.shop"), namespace=SET, options=BY_HAND)
        await refused(attempt, 'member east may write only objects whose name begins with "east."')
        await refused(east.list(MEMBERS, namespace=OTHER_SET), "cannot list")
        await refused(east.list(SECRETS, namespace=MEMBERS_NAMESPACE), "cannot list")
        await root.delete(SECRETS, made.secret, namespace=made.namespace)

        async def is_locked_out() -> bool:
            try:
                await east.list(MEMBERS, namespace=SET)
            except Refused as no:
                return no.code == 401
            return False

        await eventually(is_locked_out, within=30.0, what="the token ends with its Secret")


async def test_who_is_no_member_gets_none(kind: str, secured: Secured, root: Client) -> None:
    config = load_kubeconfig([secured.kubeconfig(ROOT)])
    before = await root.list(SECRETS, namespace=MEMBERS_NAMESPACE)
    with pytest.raises(Invalid, match=r"knows no member south .*Type: isthmus install hub --set set-a --members south"):
        await member_credential(root, config, cluster_set=SET, member="south", server=REACHABLE, seconds=3600)
    assert len((await root.list(SECRETS, namespace=MEMBERS_NAMESPACE)).items) == len(before.items)


@pytest.mark.parametrize("server", ["https://127.0.0.1:6443", "https://[::1]:6443", "https://localhost:6443"])
def test_an_address_of_the_machine_itself_is_refused(server: str) -> None:
    with pytest.raises(Invalid, match="--server"):
        demand_reachable(server)


def test_a_kubeconfig_for_a_pod_holds_everything_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    file = tmp_path / "config"
    users = [
        {"name": "u", "user": {"tokenFile": "token"}},
        {
            "name": "v",
            "user": {
                "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "interactiveMode": "Never"}
            },
        },
    ]
    document = {
        "clusters": [{"name": "c", "cluster": {"server": REACHABLE, "tls-server-name": "hub"}}],
        "users": users,
        "contexts": [
            {"name": "good", "context": {"cluster": "c", "user": "u"}},
            {"name": "bad", "context": {"cluster": "c", "user": "v"}},
        ],
        "current-context": "good",
    }
    file.write_text(yaml.safe_dump(document))
    alone = tmp_path / "elsewhere" / "alone"
    alone.parent.mkdir()
    alone.write_text(contained(file))
    config = load_kubeconfig([alone])
    assert (config.server, config.server_name) == (REACHABLE, "hub")
    assert config.token is not None
    assert config.token.read() == b"secret"
    with pytest.raises(Invalid, match=r"calls a program or impersonates.*isthmus install credential"):
        contained(file, context="bad")
