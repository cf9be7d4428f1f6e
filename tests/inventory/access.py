"""A consumer's place on the hub: a namespace, a kubeconfig at home there, and provider files."""

import json
import secrets
import sys
from pathlib import Path

import yaml

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.access import CLUSTER_ROLES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest, Resource
from isthmus.install.grant import Grant, grant
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually

ISTHMUS = Path(sys.executable).parent / "isthmus"
V1 = "client.authentication.k8s.io/v1"


_REVIEWS: Resource[Manifest] = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", dict, namespaced=False
)


def _review(spec: Manifest) -> Manifest:
    return {"apiVersion": _REVIEWS.api_version, "kind": _REVIEWS.kind, "spec": spec}


class Consumer:
    """One that reads Secrets in a namespace of its own; `async with` makes that."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet = fleet
        self.namespace = f"consumer-{secrets.token_hex(3)}"
        self.kubeconfig = folder / "consumer.kubeconfig"
        self._folder = folder

    async def settle(self) -> None:
        """Make the namespace, and the kubeconfig whose context names it."""
        await self.fleet.hub.namespace(self.namespace)
        document = yaml.safe_load(self.fleet.hub.host.kubeconfig.read_text())
        for context in document["contexts"]:
            context["context"]["namespace"] = self.namespace
        self.kubeconfig.write_text(yaml.safe_dump(document))

    async def granted(self, member: str, **rest: object) -> Grant:
        """What the member's admin does for it."""
        wanted = Grant(member, self.namespace, **rest)  # type: ignore[arg-type]  # fields by name
        client = self.fleet[member].client

        async def gathered() -> bool:
            return bool((await client.get(CLUSTER_ROLES, wanted.role)).get("rules"))

        # A server that has just begun gathers the rules of Kubernetes' own roles for a while.
        await eventually(gathered)

        async def says_who_it_is() -> bool:
            found = await client.get(CLUSTER_PROPERTIES, CLUSTER_ID)
            return found.spec is not None

        await eventually(says_who_it_is)
        await grant(client, self.fleet.hub.client, wanted)
        user = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{wanted.account}"
        asked = {"user": user, "resourceAttributes": {"verb": "list", "resource": "configmaps", "namespace": "default"}}

        async def heeded() -> bool:
            review = await client.create(_REVIEWS, _review(asked))
            return bool(review["status"]["allowed"])

        await eventually(heeded)
        return wanted

    def provider(self, name: str, **rest: object) -> Manifest:
        """An entry of a provider file for one of the two plugins."""
        config = {
            "apiVersion": V1,
            "command": str(ISTHMUS),
            "args": ["credential", name],
            "env": [{"name": "KUBECONFIG", "value": str(self.kubeconfig)}],
            "provideClusterInfo": True,
        }
        return {"name": name, "execConfig": config | rest}

    def provider_file(self, *names: str) -> Path:
        """One with these plugins."""
        path = self._folder / f"{'-'.join(names)}.json"
        path.write_text(json.dumps({"providers": [self.provider(name) for name in names]}))
        return path
