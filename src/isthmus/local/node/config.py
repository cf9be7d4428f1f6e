"""What a node is told by its file: which cluster, where its API server and its folder are."""

from pathlib import Path

import msgspec

from isthmus.errors import Invalid
from isthmus.local.addresses import ClusterAddresses


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one cluster's node; paths are absolute."""

    cluster: str
    number: int
    kubeconfig: Path
    state: Path
    kubelet_socket: Path
    zone: str = ""
    region: str = ""
    labels: dict[str, str] = {}
    dns_upstream: str = ""
    ca: Path | None = None

    @property
    def addresses(self) -> ClusterAddresses:
        """The cluster's addresses."""
        return ClusterAddresses(self.number)

    @property
    def node_name(self) -> str:
        """What the Node object is called."""
        return f"{self.cluster}-node"

    @property
    def authority(self) -> Path:
        """The certificate of the API server's authority."""
        return self.ca or self.state / "pki" / "ca.crt"


def load(path: Path) -> NodeConfig:
    """Read the file; raises Invalid naming it and what is wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=NodeConfig, dec_hook=_as_path)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}; `isthmus up` writes it") from error
    except msgspec.MsgspecError as error:
        raise Invalid(f"{path}: {error}; `isthmus up` writes it anew") from error


def _as_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected {kind.__name__}")
