"""An import as it was last made: what an agent goes on from while the set cannot be asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from isthmus.api.core import Service
from isthmus.api.mcs import DERIVED_SERVICE_ANNOTATION, ServiceImport, ServiceImportSpec
from isthmus.mcs.rules.constituent import Constituent
from isthmus.mcs.rules.foreign import FAMILIES
from isthmus.mcs.rules.importing import Plan
from isthmus.mcs.rules.merge import Merged


def stored_merge(seen: ServiceImport, spec: ServiceImportSpec, exporters: Sequence[Constituent]) -> tuple[Merged, Plan]:
    """The merge and plan that `seen` came from, as far as it tells, with the exporters that are still known."""
    merged = Merged(
        namespace=seen.metadata.namespace,
        name=seen.metadata.name,
        type=spec.type,
        ports=spec.ports,
        ip_families=spec.ip_families,
        session_affinity=spec.session_affinity,
        session_affinity_config=spec.session_affinity_config,
        internal_traffic_policy=spec.internal_traffic_policy,
        traffic_distribution=spec.traffic_distribution,
        labels={},
        annotations={},
        exporters=tuple(exporters),
        conflicts=(),
    )
    name = seen.metadata.annotations.get(DERIVED_SERVICE_ANNOTATION, "")
    # A definition of the kind that is too old to hold the families tells nothing about them.
    return merged, Plan(seen, None, name, spec.ip_families or FAMILIES)


class ServicesOf(Mapping[str, Service]):
    """The Services of one namespace by name, looked up one by one: a namespace may hold thousands."""

    def __init__(self, find: Callable[[str], Service | None], names: Callable[[], Iterator[str]]) -> None:
        self._find = find
        self._names = names

    def __getitem__(self, name: str) -> Service:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return self._names()

    def __len__(self) -> int:
        return sum(1 for _ in self._names())
