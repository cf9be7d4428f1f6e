"""The Node object: made once, kept Ready, with a Lease as its heartbeat (KEP-589)."""

import logging
import os
import platform
from datetime import datetime
from pathlib import Path

import isthmus
from isthmus.api.core import LEASES, NAMESPACES, NODES
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, IsthmusError
from isthmus.kube.client import WriteOptions
from isthmus.local.node.context import Context
from isthmus.local.node.kubelet import node_labels
from isthmus.local.node.states import stamp

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
MANAGER = WriteOptions(manager="isthmus-node", force=True)
HEARTBEAT = 10.0
LEASE_SECONDS = 40
RETRY = 0.5
_MOST_PODS = "110"


async def keep_registered(context: Context) -> None:
    """Make the Node and renew its Lease until cancelled, whatever the server does."""
    registered = False
    while True:
        try:
            if not registered:
                await _register(context)
                registered = True
            await _renew(context)
        except IsthmusError as error:
            log.warning("node not registered", extra={"node": context.config.node_name, "error": str(error)})
            registered = False
            await context.clock.sleep(RETRY)
        else:
            await context.clock.sleep(HEARTBEAT)


async def _register(context: Context) -> None:
    node, status = node_manifests(context)
    await context.client.apply(NODES, node, options=MANAGER)
    # Not applied: the schema has a Node's addresses keyed by type, and two families are two of one type.
    await context.client.merge_patch(NODES, context.config.node_name, status, subresource="status", options=MANAGER)
    try:
        await context.client.create(NAMESPACES, {"metadata": {"name": LEASE_NAMESPACE}})
    except Conflict:
        return


async def _renew(context: Context) -> None:
    name = context.config.node_name
    spec = {
        "holderIdentity": name,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": context.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    lease = {"metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec}
    await context.client.apply(LEASES, lease, options=MANAGER)


def node_manifests(context: Context) -> tuple[Manifest, Manifest]:
    """The Node, and its status, as they should be."""
    config = context.config
    name = {"name": config.node_name}
    ranges = config.addresses.pod_ranges
    node: Manifest = {
        "metadata": name | {"labels": node_labels(context)},
        "spec": {"podCIDR": ranges[0], "podCIDRs": list(ranges), "providerID": f"isthmus://{config.node_name}"},
    }
    addresses = [{"type": "InternalIP", "address": address} for address in config.addresses.node]
    capacity = {"cpu": str(os.cpu_count() or 1), "memory": f"{_memory()}Ki", "pods": _MOST_PODS}
    status: Manifest = {
        "addresses": [*addresses, {"type": "Hostname", "address": config.node_name}],
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [_ready(context.clock.now())],
        "nodeInfo": _node_info(),
    }
    return node, {"status": status}


def _ready(now: datetime) -> Manifest:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "pods are processes of this machine",
        "lastHeartbeatTime": stamp(now),
        "lastTransitionTime": stamp(now),
    }


def _node_info() -> dict[str, str]:
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "architecture": machine,
        "operatingSystem": "linux",
        "kernelVersion": platform.release(),
        "osImage": release.get("PRETTY_NAME", "Linux"),
        "kubeletVersion": f"v{isthmus.__version__}",
        "containerRuntimeVersion": f"isthmus://{isthmus.__version__}",
        "kubeProxyVersion": "",
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
    }


def _memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return 0
