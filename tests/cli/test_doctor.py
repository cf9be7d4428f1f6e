"""`isthmus doctor --context` on any cluster: by what the member itself holds for its hub."""

import asyncio
import base64
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
from isthmus.install.manifests import apply, remove
from isthmus.install.member import KUBECONFIG_KEY, TOKEN_KEY, MemberOptions, member_manifests
from isthmus.install.push import KEY
from isthmus.install.roles import HUB_SECRET, member_access
from isthmus.inventory.controllers.access import grant
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.tls import Material
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually
from tests.fleets import MakeFleet, make_fleet

__all__ = ["make_fleet"]


async def typed(kubeconfig: Path, *words: str) -> Result:
    """What the command says, while the cluster is served by this very process."""
    return await asyncio.to_thread(CliRunner().invoke, cli, ["doctor", "--kubeconfig", str(kubeconfig), *words])


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


async def test_a_member_that_did_not_join_by_a_token_is_walked_too(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with make_fleet(["east"]) as fleet:
        cluster, kubeconfig = fleet["east"].client, fleet["east"].host.kubeconfig
        made = [each for each in by_hand(fleet, "east") if each["kind"] in {"Secret", "Deployment"}]
        try:
            await apply(cluster, made)
            await wait_walked(kubeconfig)
            # What names files of its pod is not looked for here.
            elsewhere = {"kubeconfig": Held("east", fleet.set, "https://hub", "").kubeconfig("/etc/passwd")}
            await cluster.merge_patch(SECRETS, HUB_SECRET, {"data": encoded(elsewhere)}, namespace=SYSTEM_NAMESPACE)
            unknown = await typed(kubeconfig)
            assert "by files that only its pod has" in str(unknown.exception)
            assert "--hub-context HUB" in str(unknown.exception)
        finally:
            await remove(cluster, made)
        key = {"metadata": {"name": KEY, "labels": {CLUSTER_LABEL: "east", SET_LABEL: fleet.set}}}
        await cluster.apply(SECRETS, key, namespace=SYSTEM_NAMESPACE, options=BY_HAND)
        try:
            pushed = await typed(kubeconfig)
            assert "the agent of east (set" in str(pushed.exception)
            assert "runs beside its hub: name a context of the hub, too" in str(pushed.exception)
            both = tmp_path / "both"
            both.write_text(whole(("east", kubeconfig), ("hub", fleet.hub.host.kubeconfig)))
            await wait_walked(both, "--hub-context", "hub")
        finally:
            await cluster.delete(SECRETS, KEY, namespace=SYSTEM_NAMESPACE)


def by_hand(fleet: Fleet, member: str) -> tuple[Manifest, ...]:
    """What `isthmus install member` puts up."""
    return member_manifests(MemberOptions(fleet.set, member, whole(("hub", fleet.hub.host.kubeconfig))))


def whole(*contexts: tuple[str, Path]) -> str:
    """A kubeconfig with these contexts, the first of them current, that names no file."""
    document: Manifest = {"clusters": [], "users": [], "contexts": [], "current-context": contexts[0][0]}
    for name, path in contexts:
        config = load_kubeconfig([path])
        trust = config.trust
        assert trust.authority is not None
        assert trust.certificate is not None
        assert trust.key is not None
        cluster = {"server": config.server, "certificate-authority-data": _encoded(trust.authority)}
        user = {"client-certificate-data": _encoded(trust.certificate), "client-key-data": _encoded(trust.key)}
        document["clusters"].append({"name": name, "cluster": cluster})
        document["users"].append({"name": name, "user": user})
        document["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    return yaml.safe_dump(document)


def _encoded(material: Material) -> str:
    return base64.b64encode(material.read()).decode()


async def wait_walked(kubeconfig: Path, *words: str) -> None:
    """Return once the road holds up to the heartbeat."""

    async def walked() -> bool:
        return {"rights", "hub", "lease"} <= set(await marks(kubeconfig, *words))

    await eventually(walked, what="the road is walked")


async def marks(kubeconfig: Path, *words: str) -> list[str]:
    """The steps that held."""
    done = await typed(kubeconfig, *words)
    assert done.stdout, done.exception
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok")]


async def test_a_context_that_is_nowhere_is_said(tmp_path: Path) -> None:
    empty = tmp_path / "kubeconfig"
    empty.write_text(yaml.safe_dump({"contexts": [], "current-context": ""}))
    done = await typed(empty)
    assert "current-context is not set" in str(done.exception)
    assert not isinstance(done.exception, NotFound)
