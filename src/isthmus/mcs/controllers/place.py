"""What this cluster can offer to imports: IP families, zones, what its API server accepts."""

from isthmus.api.core import REGION_LABEL, SERVICES, ZONE_LABEL
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.kube.client import Client, WriteOptions
from isthmus.mcs.controllers.views import MemberView
from isthmus.mcs.rules.importing import Here, distributions


class Place:
    """Facts of the own cluster, put together anew whenever its nodes change."""

    def __init__(self, member: MemberView) -> None:
        self._member = member
        self._families: tuple[str, ...] = ("IPv4",)
        self.version = ""
        self._known: Here | None = None
        member.nodes.subscribe(lambda _: self._forget())

    async def learn(self) -> None:
        """Ask the API server for what no object tells."""
        self.version = await self._member.client.version()
        self._families = await service_families(self._member.client)
        self._forget()

    def here(self) -> Here:
        """The facts as the rules want them."""
        if self._known is None:
            labels = [node.metadata.labels for node in self._member.nodes.store.all()]
            self._known = Here(
                cluster=self._member.cluster,
                families=self._families,
                region=self.region(),
                zones=frozenset(each[ZONE_LABEL] for each in labels if each.get(ZONE_LABEL)),
                distributions=distributions(self.version),
                unknown=self._member.kinds.unknown,
            )
        return self._known

    def region(self) -> str:
        """The region that all nodes share; empty if there are several, or none is named."""
        regions = {node.metadata.labels.get(REGION_LABEL, "") for node in self._member.nodes.store.all()}
        return regions.pop() if len(regions) == 1 else ""

    def _forget(self) -> None:
        self._known = None


async def service_families(client: Client) -> tuple[str, ...]:
    """The IP families that the cluster gives to Services, primary first.

    Found by the only way that needs no rights on the cluster's configuration: a Service that is made for
    trial (dry run) and asks for both.
    """
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"generateName": "families-", "namespace": SYSTEM_NAMESPACE},
        "spec": {"ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 1, "protocol": "TCP"}]},
    }
    answer = await client.create(SERVICES, manifest, namespace=SYSTEM_NAMESPACE, options=WriteOptions(dry_run=True))
    return answer.spec.ip_families or ("IPv4",)
