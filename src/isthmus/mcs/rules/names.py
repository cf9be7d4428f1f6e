"""What the objects of this room are called, and the keys they are thought of by."""

from typing import NamedTuple

from isthmus.kit.names import digest


class ImportKey(NamedTuple):
    """A service of the set: the same namespace and name everywhere (MCS-2)."""

    namespace: str
    name: str


class ExportKey(NamedTuple):
    """One cluster's part in a service of the set."""

    cluster: str
    namespace: str
    name: str

    @property
    def service(self) -> ImportKey:
        """The service it is a part of."""
        return ImportKey(self.namespace, self.name)


def export_name(cluster: str, namespace: str, name: str) -> str:
    """`<id>.<namespace>.<name>`; three labels of at most 63 characters always fit."""
    return f"{cluster}.{namespace}.{name}"


def chunk_name(key: ExportKey, family: str, index: int) -> str:
    """`<id>.<namespace>.<name>.<family>.<n>`."""
    return f"{export_name(*key)}.{family.lower()}.{index}"


def slice_name(service: str, cluster: str, family: str, index: int) -> str:
    """`<service>.<cluster>.<family>.<n>`: dots keep it apart from all that core Kubernetes generates (MCS-74)."""
    return f"{service}.{cluster}.{family.lower()}.{index}"


def derived_name(namespace: str, name: str, attempt: int = 0) -> str:
    """Upstream's name for the Service behind an import (`derived-b8s174v3sn`); `attempt` where it is taken."""
    parts = (namespace, name, str(attempt)) if attempt else (namespace, name)
    return f"derived-{digest(*parts)[:10]}"
