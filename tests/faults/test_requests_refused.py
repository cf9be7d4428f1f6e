"""API servers that refuse for a while: new certificates, expired tokens, throttling, webhooks that time out."""

import asyncio
import base64
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from isthmus.api.access import ROLE_BINDINGS
from isthmus.api.isthmus import EXPORTED_SERVICES, MEMBERS_NAMESPACE
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import IsthmusError
from isthmus.install.roles import member_user
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.faults.disturbances import road
from tests.faults.fleet import SET, RealFleet
from tests.faults.plane import SERVER, Plane
from tests.faults.relay import Relay

pytestmark = pytest.mark.asyncio(loop_scope="session")

T = TypeVar("T")

FLOWS = "flowcontrol.apiserver.k8s.io"
LEVELS: Resource[Manifest] = Resource(
    FLOWS, "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", dict, namespaced=False
)
FLOW_SCHEMAS: Resource[Manifest] = Resource(FLOWS, "v1", "flowschemas", "FlowSchema", dict, namespaced=False)
WEBHOOKS: Resource[Manifest] = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    dict,
    namespaced=False,
)
CONFIG_MAPS: Resource[Manifest] = Resource("", "v1", "configmaps", "ConfigMap", dict)
ACCOUNTS: Resource[Manifest] = Resource("", "v1", "serviceaccounts", "ServiceAccount", dict)
BLOCKER = "blocker"
# So many requests refused.
ENOUGH = 5
# Seconds.
A_WHILE = 5.0
TOKEN_LIVES = 8.0
# API servers forgive a minute, and go on believing a token for 10 s after they have seen it.
LEEWAY = 60.0
TOKEN_REFUSED = 30.0


@pytest.mark.parametrize("cluster", ["hub", "east"])
async def test_a_new_server_certificate_is_met_like_the_old_one(fleet: RealFleet, cluster: str) -> None:
    plane: Plane = fleet.hub if cluster == "hub" else fleet.members[cluster].plane
    with fleet.broken(cluster):
        plane.kill(SERVER)
        plane.authority.sign("server", "kube-apiserver", addresses=["127.0.0.1"])
        await asyncio.to_thread(plane.restart, SERVER)
    await fleet.settled()


async def test_an_agent_that_is_throttled_goes_on_as_soon_as_it_may(fleet: RealFleet) -> None:
    with fleet.broken(road("east")):
        async with _throttled(fleet, member_user("east")):
            # Watches that run are not refused: so they have to begin again.
            fleet.hub.cut_road("east", Relay.refuse)
            fleet.hub.cut_road("east", Relay.heal)

            async def refused() -> bool:
                return await _refused(fleet.hub_client) > ENOUGH

            await eventually(refused, what="requests of the agent are answered by 429")
            await asyncio.sleep(A_WHILE)
    await fleet.settled()


@pytest.mark.parametrize(("cluster", "kind"), [("hub", EXPORTED_SERVICES), ("east", SERVICE_IMPORTS)])
async def test_a_webhook_that_times_out_is_outlived(fleet: RealFleet, cluster: str, kind: Resource[object]) -> None:
    client = fleet.hub_client if cluster == "hub" else fleet.members[cluster].client
    # It takes connections, and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent, fleet.broken(cluster):
        await client.create(WEBHOOKS, _webhook(kind, silent.getsockname()[1], fleet.hub.folder / "ca.crt"))
        for member in fleet.members.values():
            await member.load.offer()
        await asyncio.sleep(A_WHILE)
        await client.delete(WEBHOOKS, "silent")
    await fleet.settled()


async def test_an_agent_whose_token_expired_goes_on_with_the_one_in_the_same_file(
    fleet: RealFleet, tmp_path: Path
) -> None:
    east, token = fleet.members["east"], tmp_path / "token"
    uid = await _account(fleet.hub_client, "east")
    token.write_text(_token(fleet.hub.folder / "sa.key", uid, TOKEN_LIVES - LEEWAY))
    with fleet.broken("east"):
        east.agent.kill()
        by_token = fleet.agent("east", east.plane, pod="east-agent")
        _use_token(by_token.words, token)
        by_token.start()
        await fleet.settled()
    try:
        with fleet.broken(road("east")):

            async def silent() -> bool:
                return "east" in fleet.observer.silent

            await eventually(silent, within=TOKEN_REFUSED, what="the hub refuses the expired token")
            token.write_text(_token(fleet.hub.folder / "sa.key", uid, 600))
        await fleet.settled()
    finally:
        with fleet.broken("east"):
            by_token.kill()
            east.agent.start()
            await fleet.settled()


@asynccontextmanager
async def _throttled(fleet: RealFleet, user: str) -> AsyncIterator[None]:
    """The hub answers all requests of a user by 429: the one seat that they share with another user is taken.

    It is taken by a request that hangs in a webhook.
    """
    admin = fleet.hub_client
    await admin.create(ROLE_BINDINGS, _may_block())
    async with AsyncExitStack() as stack:
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        blocker = await stack.enter_async_context(Client(load_kubeconfig([fleet.hub.kubeconfig_of(BLOCKER)])))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        webhook = _webhook(CONFIG_MAPS, port, fleet.hub.folder / "ca.crt", seconds=30)
        for kind, manifest in ((WEBHOOKS, webhook), (LEVELS, _one_seat()), (FLOW_SCHEMAS, _flow_of(user, BLOCKER))):
            await admin.create(kind, manifest)
            stack.push_async_callback(admin.delete, kind, manifest["metadata"]["name"])
        stack.callback(tasks.create_task(_block(blocker)).cancel)
        yield


async def _block(client: Client) -> None:
    while True:
        with suppress(IsthmusError):
            await client.create(CONFIG_MAPS, _made(CONFIG_MAPS, f"block-{time.monotonic_ns()}", "default"))
        await asyncio.sleep(0)


def _made(kind: Resource[Manifest], name: str, namespace: str = "") -> Manifest:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _may_block() -> Manifest:
    role = {"apiGroup": ROLE_BINDINGS.group, "kind": "ClusterRole", "name": "admin"}
    subject = {"apiGroup": ROLE_BINDINGS.group, "kind": "User", "name": BLOCKER}
    return _made(ROLE_BINDINGS, BLOCKER, "default") | {"roleRef": role, "subjects": [subject]}


def _one_seat() -> Manifest:
    """A priority level for one request at a time, which is the least: others are refused with 429."""
    limited = {
        "nominalConcurrencyShares": 0,
        "borrowingLimitPercent": 0,
        "lendablePercent": 0,
        "limitResponse": {"type": "Reject"},
    }
    return _made(LEVELS, "throttled") | {"spec": {"type": "Limited", "limited": limited}}


def _flow_of(*users: str) -> Manifest:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rule = {
        "subjects": [{"kind": "User", "user": {"name": user}} for user in users],
        "resourceRules": [everything],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    spec = {
        "priorityLevelConfiguration": {"name": "throttled"},
        # 1 is that of the exempt.
        "matchingPrecedence": 2,
        "rules": [rule],
    }
    return _made(FLOW_SCHEMAS, "throttled") | {"spec": spec}


async def _refused(client: Client) -> float:
    text = (await client.raw("GET", "/metrics")).decode()
    counts = re.findall(r'^apiserver_flowcontrol_rejected_requests_total\{.*"throttled".*\} (\S+)$', text, re.MULTILINE)
    return sum(map(float, counts))


def _webhook(kind: Resource[T], port: int, authority: Path, *, seconds: int = 1) -> Manifest:
    rule = {
        "apiGroups": [kind.group],
        "apiVersions": ["*"],
        "resources": [kind.plural, f"{kind.plural}/status"],
        "operations": ["*"],
    }
    authority_data = base64.b64encode(authority.read_bytes()).decode()
    webhook = {
        "name": "silent.isthmus.test",
        "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": authority_data},
        "rules": [rule],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": seconds,
        "admissionReviewVersions": ["v1"],
    }
    return _made(WEBHOOKS, "silent") | {"webhooks": [webhook]}


async def _account(client: Client, name: str) -> str:
    """The UID of a service account that may do what that member may."""
    account = await client.create(ACCOUNTS, _made(ACCOUNTS, name, MEMBERS_NAMESPACE))
    subject = {"kind": "ServiceAccount", "name": name, "namespace": MEMBERS_NAMESPACE}
    for namespace in (SET, MEMBERS_NAMESPACE):
        role = {"apiGroup": ROLE_BINDINGS.group, "kind": "Role", "name": f"isthmus-member-{name}"}
        binding = _made(ROLE_BINDINGS, f"{name}-by-token", namespace)
        await client.create(ROLE_BINDINGS, binding | {"roleRef": role, "subjects": [subject]})
    return str(account["metadata"]["uid"])


def _token(key: Path, uid: str, seconds: float) -> str:
    """A service account token (RFC 7519) as the API server itself would sign it, but for less than 10 minutes."""
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(secret, rsa.RSAPrivateKey)
    now = int(time.time())
    claims = {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "sub": f"system:serviceaccount:{MEMBERS_NAMESPACE}:east",
        "iat": now - 600,
        "nbf": now - 600,
        "exp": now + int(seconds),
        "kubernetes.io": {"namespace": MEMBERS_NAMESPACE, "serviceaccount": {"name": "east", "uid": uid}},
    }
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    return f"{signed}.{_encoded(secret.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _use_token(words: tuple[str, ...], token: Path) -> None:
    """Have the agent's kubeconfig of the hub name a token file instead of a certificate."""
    path = Path(next(word for word in words if word.startswith("--hub-kubeconfig=")).partition("=")[2])
    config = yaml.safe_load(path.read_text())
    config["users"][0]["user"] = {"tokenFile": str(token)}
    path.write_text(yaml.safe_dump(config))
