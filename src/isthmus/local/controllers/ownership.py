"""Adopting and releasing: the one place that writes owner references onto things that exist."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from isthmus.api.meta import Object, OwnerReference
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import NotFound
from isthmus.kube.client import Client
from isthmus.local.rules.ownership import Claim

T = TypeVar("T", bound=Object)
S = TypeVar("S")


async def settle(
    client: Client, resource: Resource[S], claim: Claim[T], owner: OwnerReference, heard: Callable[[S], None]
) -> bool:
    """Write what `claim` says; true when something was, and the decision is better made again.

    Guarded by uid and resourceVersion: raises Conflict when somebody else was faster. `heard` gets the
    server's answers.
    """
    for item in claim.adopted:
        references = (*item.metadata.owner_references, owner)
        await _write(_patched(client, resource, item, references), heard)
    for item in claim.released:
        references = tuple(each for each in item.metadata.owner_references if each.uid != owner.uid)
        await _write(_patched(client, resource, item, references), heard)
    return bool(claim.adopted or claim.released)


def _patched(
    client: Client, resource: Resource[S], item: Object, references: tuple[OwnerReference, ...]
) -> Awaitable[S]:
    meta = item.metadata
    patch: Manifest = {
        "metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "ownerReferences": msgspec.to_builtins(references) or None,
        }
    }
    return client.merge_patch(resource, meta.name, patch, namespace=meta.namespace)


async def _write(write: Awaitable[S], heard: Callable[[S], None]) -> None:
    try:
        heard(await write)
    except NotFound:
        return
