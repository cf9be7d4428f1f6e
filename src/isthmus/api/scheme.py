"""Which kinds there are, where the API server keeps them, and which wire type reads them."""

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

# Objects that pass through whole. The one place where `Any` lives: JSON has no better type in Python.
Manifest: TypeAlias = dict[str, Any]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A kind as an API server serves it (group, version, plural), and the type that reads it.

    `type` is a `meta.Object`, or `dict` for objects that pass through whole. `many` are the kinds of which a
    cluster may have tens of thousands: they are cached in little memory.
    """

    group: str
    version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool = True
    many: bool = False

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
        """The URL path of the collection, or of one object; all namespaces where `namespace` is empty."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(quote(part, safe=":") for part in parts)
