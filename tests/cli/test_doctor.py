"""`isthmus doctor --context` on any cluster: by what the member itself holds for its hub."""

import asyncio
import json
from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from isthmus.api.access import ROLE_BINDINGS
from isthmus.api.core import SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import CLUSTER_LABEL, MEMBERS_NAMESPACE, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.cli.main import cli
from isthmus.errors import NotFound
from isthmus.install.held import Held
from isthmus.install.homes import encoded
from isthmus.install.member import KUBECONFIG_KEY, TOKEN_KEY
from isthmus.install.roles import HUB_SECRET, member_access
from isthmus.inventory.controllers.access import grant
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet
from tests.fleets import MakeFleet, make_fleet

__all__ = ["make_fleet"]


async def typed(kubeconfig: Path) -> Result:
    """What the command says, while the cluster is served by this very process."""
    return await asyncio.to_thread(CliRunner().invoke, cli, ["doctor", "--kubeconfig", str(kubeconfig)])


async def hold(fleet: Fleet, member: str) -> None:
    """Give a member what joining would leave there: a token of its own account at the hub."""
    hub = fleet.hub.client
    account = {"metadata": {"name": member, "namespace": MEMBERS_NAMESPACE}}
    await hub.apply(SERVICE_ACCOUNTS, account, namespace=MEMBERS_NAMESPACE, options=BY_HAND)
    await grant(hub, member_access(fleet.set, member))
    path = SERVICE_ACCOUNTS.path(member, namespace=MEMBERS_NAMESPACE, subresource="token")
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = json.loads(await hub.raw("POST", path, body=json.dumps(asked).encode()))["status"]["token"]
    config = load_kubeconfig([fleet.hub.host.kubeconfig])
    assert config.trust.authority is not None
    held = Held(member, fleet.set, config.server, config.trust.authority.read().decode(), token=token)
    data = encoded({KUBECONFIG_KEY: held.kubeconfig("/token"), TOKEN_KEY: token})
    labels = {CLUSTER_LABEL: member, SET_LABEL: fleet.set}
    secret: Manifest = {"metadata": {"name": HUB_SECRET, "labels": labels}, "data": data}
    await fleet[member].client.apply(SECRETS, secret, namespace=SYSTEM_NAMESPACE, options=BY_HAND)


async def test_the_road_is_walked_with_what_the_member_holds_for_its_hub(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        kubeconfig = fleet["east"].host.kubeconfig
        alone = await typed(kubeconfig)
        assert "holds nothing of a cluster set: it has not joined one. Type: isthmus join" in str(alone.exception)
        await fleet["west"].serve(fleet.namespace, "shop", ["10.78.0.5"])
        await fleet["west"].export(fleet.namespace, "shop")
        await fleet["east"].wait_import(fleet.namespace, "shop")
        await hold(fleet, "east")
        try:
            done = await typed(kubeconfig)
            marks = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
            assert {step for step, mark in marks.items() if mark == "ok"} >= {"rights", "hub", "lease", "slices"}
            # Nobody runs pods here: nobody can ask from inside.
            assert (marks["DNS"], marks["endpoint"], done.exit_code) == ("skip", "skip", 0)
            await fleet.hub.client.delete(ROLE_BINDINGS, "isthmus-member-east", namespace=fleet.set)
            refused = await typed(kubeconfig)
            assert refused.exit_code == 1
            assert "does not take what this cluster holds for it" in refused.stdout
            assert "isthmus token create --cluster east" in refused.stdout
        finally:
            await fleet["east"].client.delete(SECRETS, HUB_SECRET, namespace=SYSTEM_NAMESPACE)


async def test_a_context_that_is_nowhere_is_said(tmp_path: Path) -> None:
    empty = tmp_path / "kubeconfig"
    empty.write_text(yaml.safe_dump({"contexts": [], "current-context": ""}))
    done = await typed(empty)
    assert "current-context is not set" in str(done.exception)
    assert not isinstance(done.exception, NotFound)
