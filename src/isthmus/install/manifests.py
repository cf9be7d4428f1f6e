"""Puts manifests onto a cluster, and takes them off again, where it knows such kinds."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import NotFound
from isthmus.install.kinds import IN_ORDER
from isthmus.kube.client import Client, WriteOptions

log = logging.getLogger(__name__)

MANAGER: Final = "isthmus-install"


async def apply(client: Client, manifests: Iterable[Manifest]) -> None:
    """Make them as they should be; safe to repeat. Kinds that the server does not have are left out, and said so."""
    options = WriteOptions(manager=MANAGER, force=True)
    for kind, manifest in await _known(client, manifests):
        await client.apply(kind, manifest, options=options)


async def remove(client: Client, manifests: Iterable[Manifest]) -> None:
    """Delete them, bindings first: an unbound policy refuses nobody."""
    for kind, manifest in reversed(await _known(client, manifests)):
        metadata = manifest["metadata"]
        with suppress(NotFound):
            await client.delete(kind, metadata["name"], namespace=metadata.get("namespace", ""))


async def _known(client: Client, manifests: Iterable[Manifest]) -> list[tuple[Resource[Manifest], Manifest]]:
    manifests = list(manifests)
    known: list[tuple[Resource[Manifest], Manifest]] = []
    missing: list[str] = []
    for kind in IN_ORDER:
        of_kind = [each for each in manifests if each["kind"] == kind.kind]
        if of_kind and not await client.serves(kind):
            missing.append(kind.kind)
            continue
        known += [(kind, each) for each in of_kind]
    if missing:
        log.info("kinds left out, the server has none", extra={"server": client.server, "kinds": ",".join(missing)})
    return known
