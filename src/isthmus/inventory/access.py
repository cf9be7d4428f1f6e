"""A ready client for a cluster of an inventory: the profile says where it is, the provider file who to be there.

KEP-4322, Access Provider Plugin Design. Whoever may write the provider file decides which programs run here: it is
configuration to be trusted, a profile is not (CRED-15).
"""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isthmus.api.inventory import ClusterProfile, Provider
from isthmus.errors import Invalid
from isthmus.inventory.rules.access import access, is_ready, parsed
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.config import Config
from isthmus.kube.execplugin import PATIENCE, Plugin
from isthmus.kube.tls import MAX_MATERIAL, Material, Trust

__all__ = ["DEFAULT_FILE", "Providers", "client_for", "config_for", "is_ready", "read_providers"]

DEFAULT_FILE: Final = Path("clusterprofile-provider-file.json")


@dataclass(frozen=True)
class Providers:
    """A provider file as it was read; `folder`, if set, is where relative commands with a slash begin (CRED-11)."""

    entries: tuple[Provider, ...]
    folder: Path | None = None
    # Seconds until a plugin counts as hanging.
    patience: float = PATIENCE


def read_providers(path: Path = DEFAULT_FILE, *, relative: bool = False, patience: float = PATIENCE) -> Providers:
    """The provider file at `path`; raises Invalid, naming the field.

    With `relative`, commands such as `./plugin` are looked for beside the file, else as the operating system does.
    """
    content = Material("clusterprofile-provider-file", file=path).read()
    return Providers(parsed(content, origin=str(path)), path.absolute().parent if relative else None, patience)


def config_for(profile: ClusterProfile, providers: Providers) -> Config:
    """Where the cluster is and who to be there; the plugin runs with the first request. Raises Invalid."""
    name = f"{profile.metadata.namespace}/{profile.metadata.name}"
    found = access(profile, providers.entries)
    cluster, exec_config = found.cluster, found.config
    origin = f"ClusterProfile {name}: provider {found.provider}"
    command = exec_config.command
    if providers.folder is not None and "/" in command:
        command = str(providers.folder / command)
    authority = None
    if cluster.certificate_authority_data:
        authority = Material(
            f"{origin}: certificate-authority-data", _decoded(cluster.certificate_authority_data, origin)
        )
    return Config(
        server=cluster.server.rstrip("/"),
        context=name,
        trust=Trust(authority, insecure=cluster.insecure_skip_tls_verify),
        server_name=cluster.tls_server_name,
        proxy=cluster.proxy_url,
        compression=not cluster.disable_compression,
        plugin=Plugin(
            origin=origin,
            command=command,
            api_version=exec_config.api_version,
            args=found.args,
            env=found.env,
            cluster=found.info,
            mode="Never",
            hint=" ".join(exec_config.install_hint.split()),
            patience=providers.patience,
            kind=found.provider,
        ),
    )


def client_for(profile: ClusterProfile, providers: Providers, *, clock: Clock = SYSTEM) -> Client:
    """A client for the cluster, to be entered or closed; raises Invalid where the two do not fit together.

    Whether the cluster can be used, `is_ready` says.
    """
    return Client(config_for(profile, providers), clock=clock)


def _decoded(data: str, origin: str) -> bytes:
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise Invalid(f"{origin}: certificate-authority-data is not base64: {problem}") from problem
    if len(content) > MAX_MATERIAL:
        raise Invalid(f"{origin}: certificate-authority-data is larger than 1 MiB")
    return content
