"""The clusters of a run: reached, looked at, and given a pod that asks from inside."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from isthmus.api.apps import pods_of
from isthmus.api.core import NAMESPACES, PODS
from isthmus.api.scheme import Manifest, Resource
from isthmus.conformance import manifests
from isthmus.conformance.declared import Hindered
from isthmus.conformance.place import has_account
from isthmus.conformance.probing import Prober, Traffic
from isthmus.conformance.witness import POD, Witness
from isthmus.errors import APIError, Invalid, IsthmusError, NotFound, Refused, Unreachable
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import Config, load_kubeconfig

ASKING = "request"
ONE = ListOptions(limit=1)


@dataclass(frozen=True)
class Cluster:
    """One cluster of a run: its context, how to reach it, and the version of its API server."""

    name: str
    config: Config
    client: Client
    version: str


@asynccontextmanager
async def reached(contexts: Sequence[str], kubeconfig: Path | None) -> AsyncIterator[tuple[Cluster, ...]]:
    """The clusters of these contexts, all different. Raises Invalid or Unreachable, naming the context."""
    paths = [kubeconfig] if kubeconfig else None
    async with AsyncExitStack() as stack:
        found: dict[str, Cluster] = {}
        for name in contexts:
            config = load_kubeconfig(paths, context=name)
            client = Client(config, user_agent="isthmus-conformance")
            await stack.enter_async_context(client)
            try:
                version = await client.version()
                uid = (await client.get(NAMESPACES, "kube-system")).metadata.uid
            except Unreachable as problem:
                raise Unreachable(f"context {name}: {problem}") from problem
            except APIError as problem:
                raise Invalid(f"context {name}: {problem}; its user needs the rights of a cluster admin") from problem
            if uid in found:
                raise Invalid(f"contexts {found[uid].name} and {name} are the same cluster; name different ones")
            found[uid] = Cluster(name, config, client, version)
        yield tuple(found.values())


async def must_serve(cluster: Cluster, kinds: Sequence[Resource[Manifest]]) -> None:
    """Raises Invalid if one of the kinds cannot be listed there: then there is nothing to judge."""
    for kind in kinds:
        try:
            await cluster.client.list(kind, options=ONE)
        except NotFound as problem:
            raise Invalid(
                f"context {cluster.name}: no {kind.plural}.{kind.group}/{kind.version}; install the implementation, "
                "with its CRDs, in every cluster first"
            ) from problem
        except Refused as problem:
            raise Invalid(
                f"context {cluster.name}: {kind.plural} cannot be listed: {problem}; use a cluster admin's context"
            ) from problem


async def prober(cluster: Cluster, namespace: str, image: str, witness: Witness) -> Prober:
    """A pod that asks. Raises Hindered, with what its containers wait for, if it does not come to run."""
    client = cluster.client
    try:
        await has_account(client, namespace, witness)
        await client.create(PODS, manifests.asking_pod(image, ASKING), namespace=namespace)
        await witness.until(
            f"{cluster.name}: pod {ASKING} of image {image} runs",
            lambda: _state(client, namespace),
            lambda state: state == "Running",
            POD,
        )
        pod = (await client.get(PODS, ASKING, namespace=namespace)).get("spec", {})
        found = Prober(client, namespace, ASKING, node=str(pod.get("nodeName", "")))
        await found.traffic(Traffic("127.0.0.1"))
    except IsthmusError as problem:
        raise Hindered(f"no pods in {cluster.name}: {problem}; name an image with python3: --image") from problem
    return found


async def _state(client: Client, namespace: str) -> str:
    manifest = await client.get(PODS, ASKING, namespace=namespace)
    (pod,) = pods_of([manifest])
    statuses = manifest.get("status", {}).get("containerStatuses") or []
    waits = [str(each.get("state", {}).get("waiting", {})) for each in statuses if "waiting" in each.get("state", {})]
    return f"{pod.status.phase or 'Pending'}{': ' + waits[0] if waits else ''}"


async def cleared(clusters: Sequence[Cluster], namespace: str) -> list[str]:
    """Delete the namespace everywhere, without waiting for its end; returns where that failed, and why."""
    return [problem for problem in await asyncio.gather(*(_deleted(each, namespace) for each in clusters)) if problem]


async def _deleted(cluster: Cluster, namespace: str) -> str:
    try:
        await cluster.client.delete(NAMESPACES, namespace)
    except NotFound:
        return ""
    except IsthmusError as problem:
        return f"{cluster.name}: {problem}"
    return ""
