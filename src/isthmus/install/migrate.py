"""Rewrites objects that are still stored in an older version, and then says so on their definition.

Kubernetes, "Versions in CustomResourceDefinitions", upgrade existing objects to a new stored version; `mcs.md` 1.5.
"""

from collections.abc import Callable
from typing import Final

from isthmus.api.core import CRDS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Conflict, NotFound
from isthmus.install.definitions import stale_versions, storage_version
from isthmus.install.manifests import MANAGER
from isthmus.kube.client import Client, WriteOptions

_EVERY: Final = 100


async def migrate(client: Client, name: str, *, say: Callable[[str], None]) -> int:
    """Store every object of the definition `name` in its storage version; how many objects that took.

    Objects that are written by others meanwhile are stored anew by that; so a conflict is as good as a success.
    """
    definition = await client.get(CRDS, name)
    if not (stale := stale_versions(definition)):
        return 0
    kind = _kind(definition)
    objects = (await client.list(kind)).items
    say(f"{name}: storing {len(objects)} objects as {kind.version}, {', '.join(stale)} may be among them")
    options = WriteOptions(manager=MANAGER)
    for count, item in enumerate(objects, start=1):
        metadata = item["metadata"]
        try:
            # As it is: the server writes it, since its bytes would be others.
            await client.update(kind, item, namespace=metadata.get("namespace", ""), options=options)
        except (Conflict, NotFound):
            continue
        finally:
            if count % _EVERY == 0:
                say(f"{name}: {count} of {len(objects)}")
    version = definition["metadata"]["resourceVersion"]
    # Only of the definition that was looked at: had it changed since, other versions may be stored again.
    patch = {"metadata": {"resourceVersion": version}, "status": {"storedVersions": [kind.version]}}
    await client.merge_patch(CRDS, name, patch, subresource="status", options=options)
    return len(objects)


def _kind(definition: Manifest) -> Resource[Manifest]:
    spec = definition["spec"]
    return Resource(
        spec["group"],
        storage_version(definition),
        spec["names"]["plural"],
        spec["names"]["kind"],
        dict,
        spec["scope"] == "Namespaced",
    )
