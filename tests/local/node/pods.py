"""Pods as values, for tests that run none."""

from isthmus.api.scheme import Manifest
from isthmus.local.node.environment import Facts
from isthmus.local.node.podspec import Pod, decode


def pod(spec: Manifest | None = None, **metadata: object) -> Pod:
    """A pod called `shop-0` in namespace prod, whose only container runs `true`."""
    wanted = {"containers": [{"name": "main", "command": ["true"]}]} | (spec or {})
    named = {"name": "shop-0", "namespace": "prod", "uid": "u-1"} | metadata
    return decode({"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": wanted})


def facts(of: Pod, **more: object) -> Facts:
    """What that pod may ask about, on node east-node."""
    known = {
        "addresses": ("10.1.0.2", "fd69:1::2"),
        "node_name": "east-node",
        "node_addresses": ("10.0.0.1", "fd69::1"),
        "config_maps": {"settings": {"a": "1", "b": "2"}},
        "secrets": {"key": {"k": b"hush"}},
    }
    return Facts(pod=of, **(known | more))  # type: ignore[arg-type]
