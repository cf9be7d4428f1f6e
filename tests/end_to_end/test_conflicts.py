"""The conflict cases of the Multi-Cluster Services API, made and read by stock kubectl, on both sides."""

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
import yaml

from isthmus.api.scheme import Manifest
from isthmus.testing.waiting import eventually
from tests.end_to_end.conftest import KUBECTL
from tests.fleets import MakeFleet

HTTP = {"name": "http", "port": 80, "protocol": "TCP"}
CASES = [
    pytest.param({"clusterIP": "None"}, {}, "TypeConflict", marks=pytest.mark.requirement("MCS-42"), id="type"),
    pytest.param(
        {"ports": [{"name": "http", "port": 8080}]},
        {},
        "PortConflict",
        marks=pytest.mark.requirement("MCS-57"),
        id="ports",
    ),
    pytest.param(
        {"sessionAffinity": "ClientIP"},
        {},
        # The API server fills in the timeout of ClientIP, so that the configuration differs with it.
        "SessionAffinityConflict,SessionAffinityConfigConflict",
        marks=pytest.mark.requirement("MCS-39"),
        id="affinity",
    ),
    pytest.param(
        {"internalTrafficPolicy": "Local"},
        {},
        "InternalTrafficPolicyConflict",
        marks=pytest.mark.requirement("MCS-40"),
        id="internal traffic policy",
    ),
    pytest.param(
        {"trafficDistribution": "PreferClose"},
        {},
        "TrafficDistributionConflict",
        marks=pytest.mark.requirement("MCS-41"),
        id="traffic distribution",
    ),
    pytest.param(
        {}, {"exportedLabels": {"tier": "gold"}}, "LabelsConflict", marks=pytest.mark.requirement("MCS-43"), id="labels"
    ),
    pytest.param(
        {},
        {"exportedAnnotations": {"note": "x"}},
        "AnnotationsConflict",
        marks=pytest.mark.requirement("MCS-43"),
        id="annotations",
    ),
    pytest.param(
        {"ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack"},
        {},
        "IPFamilyConflict",
        marks=pytest.mark.requirement("MCS-36"),
        id="families",
    ),
]


async def kubectl(kubeconfig: Path, *words: str, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        f"--kubeconfig={kubeconfig}",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    assert process.returncode == 0, f"kubectl {' '.join(words)}: {err.decode()}"
    return out.decode()


def manifests(namespace: str, service: Manifest, export: Manifest) -> str:
    metadata = {"name": "shop", "namespace": namespace}
    spec = {"ports": [HTTP], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", **service}
    return yaml.safe_dump_all(
        [
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec},
            {
                "apiVersion": "multicluster.x-k8s.io/v1beta1",
                "kind": "ServiceExport",
                "metadata": metadata,
                "spec": export,
            },
        ]
    )


@pytest.mark.requirement("MCS-51")
@pytest.mark.parametrize(("service", "export", "reason"), CASES)
async def test_a_disagreement_is_told_on_both_exports(
    make_fleet: MakeFleet, service: Manifest, export: Manifest, reason: str
) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        east, west = fleet["east"].host.kubeconfig, fleet["west"].host.kubeconfig
        name = fleet.namespace
        await kubectl(east, "apply", "-f", "-", stdin=manifests(name, {}, {}))
        await eventually(lambda: imported(west, name), what="the older export is imported in west")
        # Should both be of one second, the cluster id decides for east (MCS-49).
        await kubectl(west, "apply", "-f", "-", stdin=manifests(name, service, export))
        for kubeconfig in (east, west):
            found = await eventually(partial(conflict, kubeconfig, name), what=f"{reason} is told")
            assert found["reason"] == reason
            assert "east" in found["message"], "the message names the cluster that won"
        spec = json.loads(await kubectl(west, "get", "svcim", "shop", "-n", name, "-o", "json"))["spec"]
        assert spec["type"] == "ClusterSetIP", "the older export decides"
        assert next((port["name"], port["port"]) for port in spec["ports"]) == ("http", 80)
        await kubectl(west, "delete", "svcex", "shop", "-n", name)
        await eventually(lambda: at_peace(east, name), what="the conflict ends with the younger export")


async def condition(kubeconfig: Path, namespace: str) -> Manifest:
    said = json.loads(await kubectl(kubeconfig, "get", "svcex", "shop", "-n", namespace, "-o", "json"))
    conditions = said.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Conflict"), {})


async def conflict(kubeconfig: Path, namespace: str) -> Manifest | None:
    found = await condition(kubeconfig, namespace)
    return found if found.get("status") == "True" else None


async def at_peace(kubeconfig: Path, namespace: str) -> bool:
    found = await condition(kubeconfig, namespace)
    return (found.get("status"), found.get("reason")) == ("False", "NoConflicts")


async def imported(kubeconfig: Path, namespace: str) -> bool:
    return bool((await kubectl(kubeconfig, "get", "svcim", "-n", namespace, "-o", "name")).strip())
