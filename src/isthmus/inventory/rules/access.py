"""From a profile and a provider file to how a cluster is reached: what every consumer does, whatever its language.

KEP-4322, Access Provider Plugin Design; catalogue clusterprofile.md, 4.1 and 4.2. Nothing is run and nothing
changed here: equal inputs give equal outputs (CRED-10).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from isthmus.api.inventory import (
    ARGS_EXTENSION,
    CONTROL_PLANE_HEALTHY,
    ENV_EXTENSION,
    EXEC_EXTENSION,
    AccessCluster,
    AccessProvider,
    ClusterProfile,
    ExecConfig,
    Provider,
    ProviderFile,
)
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid

APPEND: Final = "Append"
FILE_WINS: Final = "AppendIfNotExists"
PROFILE_WINS: Final = "Replace"
IGNORE: Final = "Ignore"
VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True)
class Access:
    """How to reach one cluster: where it is, and which program yields the credentials.

    `info` is what the program is told of the cluster, where its entry in the provider file wants that.
    """

    provider: str
    cluster: AccessCluster
    config: ExecConfig
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    info: Manifest | None = None


def is_ready(profile: ClusterProfile) -> bool:
    """Whether consumers may use the cluster: its control plane is said to be healthy, and nothing else counts."""
    conditions = profile.status.conditions if profile.status is not None else ()
    return any((each.type, each.status) == (CONTROL_PLANE_HEALTHY, "True") for each in conditions)


def parsed(content: bytes, *, origin: str) -> tuple[Provider, ...]:
    """The entries of a provider file, in order of preference; raises Invalid, naming `origin` and the field.

    Unknown keys mean nothing (CRED-2).
    """
    try:
        found = msgspec.json.decode(content, type=ProviderFile).providers or ()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"{origin}: {problem}; is it a provider file?") from problem
    for provider in found:
        config = provider.exec_config
        if config is not None and config.api_version not in VERSIONS:
            raise Invalid(
                f"{origin}: provider {provider.name}: execConfig.apiVersion {config.api_version!r} is none of "
                f"{', '.join(VERSIONS)}"
            )
        if config is not None and not config.command:
            raise Invalid(f"{origin}: provider {provider.name}: execConfig.command is empty; name the program")
    return found


def access(profile: ClusterProfile, providers: tuple[Provider, ...]) -> Access:
    """The first way of the file that the profile offers (CRED-3); raises Invalid, saying what is missing where."""
    name = f"ClusterProfile {profile.metadata.namespace}/{profile.metadata.name}"
    offered = _offered(profile)
    chosen = next((each for each in providers if each.name in offered), None)
    if chosen is None:
        known = ", ".join(each.name for each in providers) or "none"
        raise Invalid(
            f"{name} offers {', '.join(sorted(offered)) or 'no access provider'}, and the provider file has {known}: "
            "add one that both know"
        )
    where = f"provider {chosen.name} of {name}"
    cluster = offered[chosen.name].cluster
    if chosen.exec_config is None:
        raise Invalid(f"provider {chosen.name} has no execConfig: say in the provider file which program to run")
    if cluster is None or not cluster.server:
        raise Invalid(f"{where} names no server: its cluster manager has to publish one")
    extensions = _extensions(cluster, where)
    return Access(
        provider=chosen.name,
        cluster=cluster,
        config=chosen.exec_config,
        args=_args(chosen, extensions, where),
        env=_env(chosen, extensions, where),
        info=_info(cluster, extensions.get(EXEC_EXTENSION)) if chosen.exec_config.provide_cluster_info else None,
    )


def _offered(profile: ClusterProfile) -> dict[str, AccessProvider]:
    """By name; the deprecated list counts too, and loses (INV-25)."""
    status = profile.status
    if status is None:
        return {}
    return {each.name: each for each in (*status.credential_providers, *status.access_providers)}


def _extensions(cluster: AccessCluster, where: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in cluster.extensions:
        if each.name in found:
            raise Invalid(f"{where} has extension {each.name} twice: its cluster manager has to publish one")
        found[each.name] = each.extension
    return found


def _args(provider: Provider, extensions: Mapping[str, object], where: str) -> tuple[str, ...]:
    """The file's, and after them the profile's where the file says so (CRED-4, CRED-5)."""
    own = (provider.exec_config.args or ()) if provider.exec_config else ()
    if ARGS_EXTENSION not in extensions or provider.args_policy in {"", IGNORE}:
        return own
    if provider.args_policy != APPEND:
        raise Invalid(
            f"provider {provider.name}: profileSourcedCLIArgsPolicy {provider.args_policy!r} is none of "
            f"{APPEND}, {IGNORE}: correct the provider file"
        )
    extension = extensions[ARGS_EXTENSION]
    # A list is what the KEP shows, an object is what the schema takes (CRED-6, README Q-23).
    given = extension.get("args", []) if isinstance(extension, Mapping) else extension
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise Invalid(f"{where}: extension {ARGS_EXTENSION} is no list of strings")
    return (*own, *given)


def _env(provider: Provider, extensions: Mapping[str, object], where: str) -> tuple[tuple[str, str], ...]:
    """Sorted by name; of two values for one name the file's or the profile's wins, as the file says (README Q-24)."""
    config = provider.exec_config
    own = {variable.name: variable.value for variable in (config.env or ())} if config else {}
    given: Mapping[str, str] = {}
    if ENV_EXTENSION in extensions and provider.env_policy not in {"", IGNORE}:
        if provider.env_policy not in {FILE_WINS, PROFILE_WINS}:
            raise Invalid(
                f"provider {provider.name}: profileSourcedEnvVarsPolicy {provider.env_policy!r} is none of "
                f"{FILE_WINS}, {PROFILE_WINS}, {IGNORE}: correct the provider file"
            )
        given = _strings(extensions[ENV_EXTENSION], where)
    merged = {**own, **given} if provider.env_policy == PROFILE_WINS else {**given, **own}
    return tuple(sorted(merged.items()))


def _strings(extension: object, where: str) -> Mapping[str, str]:
    try:
        return msgspec.convert(extension, dict[str, str])
    except msgspec.ValidationError as problem:
        raise Invalid(f"{where}: extension {ENV_EXTENSION} is no map of strings: {problem}") from problem


def _info(cluster: AccessCluster, config: object) -> Manifest:
    """What `spec.cluster` of the ExecCredential holds: the cluster, and of the extensions this one alone (CRED-7)."""
    info: Manifest = msgspec.to_builtins(msgspec.structs.replace(cluster, extensions=(), certificate_authority=""))
    return info | ({"config": config} if config is not None else {})
