from datetime import UTC, datetime

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import BUILT_IN, Kinds
from isthmus.apiserver.table import columns_of, row_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KINDS = Kinds(BUILT_IN)
META = {"name": "a", "creationTimestamp": "2029-12-31T23:59:55Z"}
EVENT: Manifest = {
    "involvedObject": {"kind": "Pod", "name": "p"},
    "type": "Normal",
    "reason": "Started",
    "message": "it runs",
    "lastTimestamp": "2029-12-31T23:59:00Z",
    "source": {"component": "kubelet", "host": "n"},
}
SERVICE: Manifest = {
    "spec": {
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.1",
        "ports": [{"port": 80, "nodePort": 30001}, {"port": 53, "protocol": "UDP"}],
        "selector": {"a": "b"},
    }
}
SLICE: Manifest = {
    "addressType": "IPv4",
    "ports": [{"port": 80}, {"port": None}],
    "endpoints": [{"addresses": [f"10.0.0.{n}"]} for n in range(1, 6)],
}
DEPLOYMENT: Manifest = {
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
    "status": {"readyReplicas": 1, "updatedReplicas": 2},
}
NODE: Manifest = {
    "metadata": META | {"labels": {"node-role.kubernetes.io/worker": ""}},
    "spec": {"unschedulable": True},
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1"}},
}


@pytest.mark.parametrize(
    ("where", "obj", "told"),
    [
        (
            ("", "v1", "services"),
            SERVICE,
            ["a", "LoadBalancer", "10.0.0.1", "<pending>", "80:30001/TCP,53/UDP", "5s", "a=b"],
        ),
        (("", "v1", "nodes"), NODE, ["a", "Ready,SchedulingDisabled", "worker", "5s", "v1"]),
        (("", "v1", "events"), EVENT, ["60s", "Normal", "Started", "pod/p", "", "kubelet, n", "it runs"]),
        (("", "v1", "secrets"), {"type": "Opaque", "data": {"a": ""}}, ["a", "Opaque", 1, "5s"]),
        (("", "v1", "serviceaccounts"), {}, ["a", "5s"]),
        (("apps", "v1", "deployments"), DEPLOYMENT, ["a", "1/3", 2, 0, "5s", "c", "i", "a=b"]),
        (
            ("discovery.k8s.io", "v1", "endpointslices"),
            SLICE,
            ["a", "IPv4", "80,*", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...", "5s"],
        ),
        (("coordination.k8s.io", "v1", "leases"), {"spec": {"holderIdentity": "x"}}, ["a", "x", "5s"]),
    ],
)
def test_rows_are_as_kubectl_shows_them(where: tuple[str, str, str], obj: Manifest, told: list[object]) -> None:
    kind = KINDS.at(*where)
    row = row_of(kind, {"metadata": META} | obj, NOW)
    assert row[: len(told)] == told
    assert len(row) == len(columns_of(kind))


def test_every_kind_shows_an_object_that_says_nothing() -> None:
    for kind in KINDS:
        assert len(row_of(kind, {"metadata": {}}, NOW)) == len(columns_of(kind))
