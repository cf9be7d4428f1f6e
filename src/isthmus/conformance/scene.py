"""The clusters of one check, and the ways in which checks begin."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from isthmus.api.scheme import Manifest
from isthmus.conformance.manifests import HELLO, service
from isthmus.conformance.place import Imported, Place
from isthmus.conformance.probing import Lookup, Traffic
from isthmus.conformance.witness import Witness
from isthmus.runtime.together import together

# Creation times have a resolution of one second: so that one export is older than the other.
OLDER = 1.1


@dataclass(frozen=True)
class Scene:
    """The places of a check, the exporting cluster first; `zone` is the DNS zone of the set."""

    places: tuple[Place, ...]
    zone: str
    witness: Witness

    @property
    def c0(self) -> Place:
        """The first cluster: it exports first."""
        return self.places[0]

    @property
    def c1(self) -> Place:
        """The second cluster."""
        return self.places[1]

    def host(self, prefix: str = "", name: str = HELLO) -> str:
        """The service's name in the set, ending in a dot; `prefix` is what stands before it, with its dot."""
        return f"{prefix}{name}.{self.c0.namespace}.svc.{self.zone}."

    def to(self, family: str = "", *, count: int = 1, port: int = 42, do: str = "tcp") -> Traffic:
        """Traffic to the service's name."""
        return Traffic(self.host(), do=do, port=port, family=family, count=count)

    def lookup(self, kind: str, prefix: str = "") -> Lookup:
        """A DNS question for the service's name."""
        return Lookup(self.host(prefix), kind)

    async def everywhere(self, work: Callable[[Place], Coroutine[object, object, object]]) -> None:
        """Do the same in all clusters at once; raises the first cluster's trouble."""
        await together(*(work(place) for place in self.places))

    async def exported(self, made: Manifest | None = None, *, replicas: int = 0, spec: Manifest | None = None) -> None:
        """How most checks begin: the Service, and so many backends, in the first cluster, exported."""
        await self.c0.serve(made, replicas=replicas)
        await self.c0.export(spec=spec)

    async def joined(self, made: Manifest | None = None, *, replicas: int = 0, spec: Manifest | None = None) -> None:
        """The second cluster exports too, later than the first, whose import is there."""
        await self.c0.imports("the first export is imported")
        await self.witness.clock.sleep(OLDER)
        await self.c1.serve(made or service(), replicas=replicas)
        await self.c1.export(spec=spec)

    async def families(self) -> tuple[str, ...]:
        """The IP families of the import in the first cluster, once it has addresses or needs none."""
        seen = await self.c0.imports("the import has its IP families", has_families)
        return seen.spec.ip_families

    async def conflict(self) -> None:
        """Wait until both exports say that they conflict."""
        await together(self.c0.says("Conflict", "True"), self.c1.says("Conflict", "True"))

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        await self.witness.clock.sleep(seconds)


def has_families(seen: Imported) -> bool:
    """The import says which families it has."""
    return bool(seen.spec.ip_families)
