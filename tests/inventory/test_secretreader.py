"""The two plugins, used by a consumer that knows only the public rules."""

import asyncio
import base64
import json
import sys
from pathlib import Path

import pytest

from isthmus.api.core import CONFIG_MAPS, SECRETS
from isthmus.api.scheme import Manifest
from isthmus.testing.cluster import BY_HAND
from tests.fleets import MakeFleet
from tests.inventory.access import ISTHMUS, V1, Consumer
from tests.inventory.controllers.test_profiles import QUICK, publish, wait_healthy

CONSUMER = Path(__file__).with_name("consumer.py")
KUBECTL = Path(sys.executable).parent / "kubectl"
SECONDS = 10.0


@pytest.mark.requirement("INV-33", "INV-29", "CRED-1", "CRED-9", "CRED-12", "INV-24")
async def test_a_consumer_that_knows_only_the_public_rules_lists_config_maps_within_ten_seconds_of_readiness(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        consumer = Consumer(fleet, tmp_path)
        await consumer.settle()
        await consumer.granted("east")
        manifest = {"metadata": {"name": "greeting", "namespace": "default"}, "data": {"hello": "world"}}
        await fleet["east"].client.apply(CONFIG_MAPS, manifest, options=BY_HAND)

        async def consume(name: str) -> Manifest:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(CONSUMER), str(KUBECTL), str(fleet.hub.host.kubeconfig)),
                *(str(consumer.provider_file(name)), f"{fleet.set}/east"),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            assert process.returncode == 0
            answer: Manifest = json.loads(out)
            return answer

        # It waits from before there is anything to be had.
        first = asyncio.create_task(consume("secretreader"))
        await publish(fleet, "east")
        for found in (await first, await consume("kubeconfig-secretreader")):
            assert "greeting" in found["configMaps"]
            assert found["seconds"] < SECONDS


async def run(name: str, config: object, environ: dict[str, str], version: str = V1) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a plugin."""
    cluster = {"server": "https://east.example", "config": config}
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False, "cluster": cluster}}
    process = await asyncio.create_subprocess_exec(
        *(str(ISTHMUS), "credential", name),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "KUBERNETES_EXEC_INFO": json.dumps(info), **environ},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def pem(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(user: Manifest, **rest: object) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "x", "user": "u"}}],
            "current-context": "c",
        }
        | rest
    )


@pytest.mark.requirement("CRED-12", "CRED-9")
async def test_the_plugins_read_what_upstreams_read_and_refuse_what_they_refuse(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    good = {
        "whole": kubeconfig({"token": "t1"}),
        "pair": kubeconfig({"client-certificate-data": pem("CERT"), "client-key-data": pem("KEY")}),
    }
    refused = {
        "half": (kubeconfig({"client-certificate-data": pem("CERT")}), "not the other"),
        "nobody": (kubeconfig({"username": "a", "password": "b"}), "neither a token nor a client certificate"),
        "files": (kubeconfig({"token": "t", "client-certificate": "/tmp/x"}), "names files"),
        "program": (kubeconfig({"exec": {"apiVersion": V1, "command": "rm"}}), "neither a token"),
        "extended": (kubeconfig({"token": "t"}, extensions=[{"name": "x", "extension": {}}]), "extensions"),
        "nowhere": (kubeconfig({"token": "t"}, **{"current-context": ""}), "no context is named"),
        "elsewhere": (kubeconfig({"token": "t"}, **{"current-context": "d"}), "no context 'd'"),
        "nonsense": ("{", "not YAML"),
    }
    async with make_fleet([], QUICK) as fleet:
        consumer = Consumer(fleet, tmp_path)
        await consumer.settle()
        environ = {"KUBECONFIG": str(consumer.kubeconfig)}
        data = good | {key: content for key, (content, _) in refused.items()} | {"empty": ""}
        secret = {"metadata": {"name": "east", "namespace": consumer.namespace}, "stringData": {"token": "t0"} | data}
        await fleet.hub.client.apply(SECRETS, secret, options=BY_HAND)

        async def answer(name: str, config: object, version: str = V1) -> Manifest:
            code, out, err = await run(name, config, environ, version)
            assert (code, err) == (0, "")
            told: Manifest = json.loads(out)
            assert (told["apiVersion"], told["kind"]) == (version, "ExecCredential")
            status: Manifest = told["status"]
            return status

        async def refusal(name: str, config: object) -> str:
            code, out, err = await run(name, config, environ)
            assert (code, out) == (1, "")
            assert err.startswith(f"[{name}] ")
            return err

        with_key = {"name": "east", "key": "pair", "namespace": consumer.namespace}
        assert await answer("secretreader", {"clusterName": "east"}) == {"token": "t0"}
        assert await answer("kubeconfig-secretreader", {"name": "east", "key": "whole"}, f"{V1}beta1") == {
            "token": "t1"
        }
        both = {"clientCertificateData": "CERT", "clientKeyData": "KEY"}
        assert await answer("kubeconfig-secretreader", with_key) == both
        assert await answer("kubeconfig-secretreader", with_key | {"context": "c"}) == both
        assert "east2" in await refusal("secretreader", {"clusterName": "east2"})
        assert "clusterName" in await refusal("secretreader", {})
        reasons = await asyncio.gather(
            *(refusal("kubeconfig-secretreader", {"name": "east", "key": key}) for key in (*refused, "empty", "none"))
        )
        wanted = [*(said for _, said in refused.values()), "has no key empty", "has no key none"]
        assert not [(said, told) for said, told in zip(wanted, reasons, strict=True) if said not in told]


@pytest.mark.requirement("CRED-8")
async def test_profiles_hold_no_secret_of_a_grant(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        consumer = Consumer(fleet, tmp_path)
        await consumer.settle()
        await publish(fleet, "east")
        await consumer.granted("east")
        await wait_healthy(fleet, "east")
        secret = await fleet.hub.client.get(SECRETS, "east", namespace=consumer.namespace)
        token = base64.b64decode(secret["data"]["token"]).decode()
        path = f"/apis/multicluster.x-k8s.io/v1alpha1/namespaces/{fleet.set}/clusterprofiles/east"
        assert token not in (await fleet.hub.client.raw("GET", path)).decode()
