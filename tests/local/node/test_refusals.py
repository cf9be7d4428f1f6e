"""What a node refuses, and how it says so."""

import pytest

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.local.node.podspec import decode
from isthmus.local.node.refusals import refuse_unsupported

MAIN = {"name": "main", "command": ["true"]}
MOUNT = {"name": "v", "mountPath": "/data"}
VOLUME = {"name": "v", "emptyDir": {}}


def check(spec: Manifest) -> None:
    manifest = {"metadata": {"name": "p"}, "spec": {"containers": [MAIN]} | spec}
    refuse_unsupported(manifest, decode(manifest))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="a command is enough"),
        pytest.param({"containers": [{"name": "main", "args": ["true"]}]}, id="arguments alone are a command"),
        pytest.param({"volumes": [VOLUME], "containers": [MAIN | {"volumeMounts": [MOUNT]}]}, id="a folder of its own"),
        pytest.param({"volumes": [{"name": "v", "hostPath": {"path": "/srv"}}]}, id="a path of the host"),
    ],
)
def test_what_a_node_can_do_is_taken(spec: Manifest) -> None:
    check(spec)


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param(
            {"containers": [{"name": "main", "image": "nginx"}]}, "is not pulled here.*Set `command`", id="no command"
        ),
        pytest.param({"initContainers": [{"name": "i"}]}, "container i: image", id="no command in an init container"),
        pytest.param({"hostNetwork": True}, "hostNetwork", id="the host's network"),
        pytest.param(
            {"volumes": [{"name": "v", "nfs": {"path": "/"}}]}, "'v': nfs is not supported", id="a foreign volume"
        ),
        pytest.param(
            {"volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {}}]}}]},
            "clusterTrustBundle is not supported",
            id="a foreign projection",
        ),
        pytest.param({"containers": [MAIN | {"volumeMounts": [MOUNT]}]}, "no volume 'v'", id="a mount of nothing"),
        pytest.param(
            {"volumes": [VOLUME], "containers": [MAIN | {"volumeMounts": [MOUNT | {"subPath": "../x"}]}]},
            "outside",
            id="a way out",
        ),
        pytest.param(
            {"volumes": [VOLUME], "containers": [MAIN | {"volumeMounts": [MOUNT | {"subPathExpr": "$(A)"}]}]},
            "use subPath",
            id="a path made of variables",
        ),
        pytest.param(
            {"volumes": [VOLUME], "containers": [MAIN | {"volumeMounts": [MOUNT | {"mountPath": "data"}]}]},
            "not absolute",
            id="a relative path",
        ),
        pytest.param(
            {"containers": [MAIN | {"readinessProbe": {"grpc": {"port": 1}}}]}, "use httpGet", id="a grpc probe"
        ),
        pytest.param(
            {"containers": [MAIN | {"name": f"c{n}"} for n in range(51)]}, "at most 50", id="too many containers"
        ),
    ],
)
def test_what_a_node_cannot_do_is_refused_with_the_reason(spec: Manifest, want: str) -> None:
    with pytest.raises(Invalid, match=want):
        check(spec)


def test_what_is_no_pod_is_no_pod() -> None:
    with pytest.raises(Invalid, match=r"cannot be read.*\$.spec.containers"):
        decode({"metadata": {"name": "p"}, "spec": {"containers": "none"}})
