"""What a credential plugin is asked and answers: KEP-541's exec protocol from the plugin's side.

Catalogue clusterprofile.md, 4.3 to 4.5. Upstream's plugins take `v1` only; ours take `v1beta1` too, and answer in the
version asked for (CRED-12).
"""

from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from isthmus.errors import Invalid
from isthmus.inventory.rules.access import VERSIONS

T = TypeVar("T")

EXEC_INFO: Final = "KUBERNETES_EXEC_INFO"


class _Cluster(msgspec.Struct, frozen=True):
    server: str | None = None
    config: object = None


class _Spec(msgspec.Struct, frozen=True):
    cluster: _Cluster | None = None


class _Info(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    spec: _Spec = _Spec()


class SecretConfig(msgspec.Struct, rename="camel"):
    """Which Secret holds the token."""

    cluster_name: Annotated[str, msgspec.Meta(min_length=1)]


class KubeconfigSecretConfig(msgspec.Struct):
    """Which Secret and key hold a kubeconfig, and which of its contexts counts."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    key: Annotated[str, msgspec.Meta(min_length=1)]
    namespace: str = ""
    context: str = ""


@dataclass(frozen=True)
class Asked:
    """The version to answer in, and the cluster's own configuration of the plugin."""

    api_version: str
    config: dict[str, object]


def asked(text: str | None) -> Asked:
    """What the consumer asks in $KUBERNETES_EXEC_INFO; raises Invalid."""
    if not text:
        raise Invalid(f"{EXEC_INFO} is not set: this is run by a consumer, with provideClusterInfo true")
    try:
        info = msgspec.json.decode(text, type=_Info)
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise Invalid(f"{EXEC_INFO} cannot be read: {problem}") from problem
    if info.api_version not in VERSIONS:
        raise Invalid(f"{EXEC_INFO}: apiVersion {info.api_version!r} is none of {', '.join(VERSIONS)}")
    cluster = info.spec.cluster
    if cluster is None or not (cluster.server or "").strip():
        raise Invalid(f"{EXEC_INFO}: spec.cluster.server is missing: set provideClusterInfo to true")
    if cluster.config is None:
        raise Invalid(f"{EXEC_INFO}: spec.cluster.config is missing: the profile has to carry it as an extension")
    if not isinstance(cluster.config, dict):
        raise Invalid(f"{EXEC_INFO}: spec.cluster.config is no object")
    return Asked(info.api_version, cluster.config)


def secret_config(asked: Asked) -> SecretConfig:
    """Of `secretreader`; raises Invalid without `clusterName`."""
    return _config(asked, SecretConfig)


def kubeconfig_secret_config(asked: Asked) -> KubeconfigSecretConfig:
    """Of `kubeconfig-secretreader`; raises Invalid without `name` or `key`."""
    return _config(asked, KubeconfigSecretConfig)


def answer(asked: Asked, *, token: str = "", certificate: str = "", key: str = "") -> str:
    """The ExecCredential, without expiry: until the server answers 401, it is good (4.3)."""
    status = {"token": token, "clientCertificateData": certificate, "clientKeyData": key}
    credential = {
        "apiVersion": asked.api_version,
        "kind": "ExecCredential",
        "status": {name: value for name, value in status.items() if value},
    }
    return msgspec.json.encode(credential).decode()


def _config(asked: Asked, kind: type[T]) -> T:
    try:
        return msgspec.convert(asked.config, kind)
    except msgspec.ValidationError as problem:
        raise Invalid(f"{EXEC_INFO}: spec.cluster.config: {problem}") from problem
