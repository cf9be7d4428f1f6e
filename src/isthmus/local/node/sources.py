"""The objects that a pod's environment and volumes are made of, read from its cluster."""

import base64
import binascii
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from isthmus.api.core import CONFIG_MAPS, PODS, SECRETS
from isthmus.errors import Invalid, IsthmusError, NotFound
from isthmus.kube.client import Client
from isthmus.kube.tokens import bound_to, request_token
from isthmus.local.node.podspec import Pod, TokenProjection

SERVICE_ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
# As the kubelet asks for it: an hour, and seven seconds by which it is told from others.
OWN_TOKEN = TokenProjection(expiration_seconds=3607)


@dataclass(frozen=True)
class Sources:
    """What was found, by name; optional objects that are missing are left out."""

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    binary: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    tokens: Mapping[TokenProjection, str] = field(default_factory=dict)


def wants_own_token(pod: Pod) -> bool:
    """Whether the node mounts the service account's files: a server may have added them as a volume."""
    mounted = {mount.mount_path for container in pod.spec.containers for mount in container.volume_mounts}
    return pod.spec.automount_service_account_token and SERVICE_ACCOUNT_PATH not in mounted


async def gather(client: Client, pod: Pod) -> Sources:
    """Read everything the pod refers to; raises NotFound for what is missing and not optional."""
    config_maps: dict[str, dict[str, str]] = {}
    binary: dict[str, dict[str, bytes]] = {}
    secrets: dict[str, dict[str, bytes]] = {}
    for name, optional in _needed(_config_map_references(pod)).items():
        with contextlib.suppress(*_absences(optional=optional)):
            found = await client.get(CONFIG_MAPS, name, namespace=pod.metadata.namespace)
            binary[name] = _decoded(found.get("binaryData"), f"configmap {name!r}")
            config_maps[name] = dict(found.get("data") or {})
    for name, optional in _needed(_secret_references(pod)).items():
        with contextlib.suppress(*_absences(optional=optional)):
            found = await client.get(SECRETS, name, namespace=pod.metadata.namespace)
            secrets[name] = _decoded(found.get("data"), f"secret {name!r}")
    tokens = {wanted: await _token(client, pod, wanted) for wanted in _token_requests(pod)}
    return Sources(config_maps, binary, secrets, tokens)


def changes_later(pod: Pod) -> bool:
    """Whether its files have to be brought up to date while it runs."""
    refers = any(_volume_references(pod)) or any(True for _ in _token_requests(pod))
    return refers or any(volume.downward_api for volume in pod.spec.volumes)


def _absences(*, optional: bool) -> tuple[type[IsthmusError], ...]:
    return (NotFound,) if optional else ()


def _needed(references: Iterator[tuple[str, bool]]) -> dict[str, bool]:
    needed: dict[str, bool] = {}
    for name, optional in references:
        needed[name] = needed.get(name, True) and optional
    return needed


def _config_map_references(pod: Pod) -> Iterator[tuple[str, bool]]:
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        for whole in container.env_from:
            if whole.config_map_ref:
                yield whole.config_map_ref.name, whole.config_map_ref.optional
        for variable in container.env:
            if variable.value_from and variable.value_from.config_map_key_ref:
                yield variable.value_from.config_map_key_ref.name, variable.value_from.config_map_key_ref.optional
    yield from ((name, optional) for kind, name, optional in _volume_references(pod) if kind == "ConfigMap")


def _secret_references(pod: Pod) -> Iterator[tuple[str, bool]]:
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        for whole in container.env_from:
            if whole.secret_ref:
                yield whole.secret_ref.name, whole.secret_ref.optional
        for variable in container.env:
            if variable.value_from and variable.value_from.secret_key_ref:
                yield variable.value_from.secret_key_ref.name, variable.value_from.secret_key_ref.optional
    yield from ((name, optional) for kind, name, optional in _volume_references(pod) if kind == "Secret")


def _volume_references(pod: Pod) -> Iterator[tuple[str, str, bool]]:
    for volume in pod.spec.volumes:
        projections = volume.projected.sources if volume.projected else ()
        for config_map in (volume.config_map, *(each.config_map for each in projections)):
            if config_map:
                yield "ConfigMap", config_map.name, config_map.optional
        for secret in (volume.secret, *(each.secret for each in projections)):
            if secret:
                yield "Secret", secret.secret_name or secret.name, secret.optional


def _token_requests(pod: Pod) -> Iterator[TokenProjection]:
    if wants_own_token(pod):
        yield OWN_TOKEN
    for volume in pod.spec.volumes:
        for projection in volume.projected.sources if volume.projected else ():
            if projection.service_account_token:
                yield projection.service_account_token


async def _token(client: Client, pod: Pod, wanted: TokenProjection) -> str:
    issued = await request_token(
        client,
        pod.spec.service_account_name or "default",
        namespace=pod.metadata.namespace,
        seconds=wanted.expiration_seconds,
        bound=bound_to(PODS.kind, pod.metadata.name, pod.metadata.uid),
        audience=wanted.audience,
    )
    return issued.token


def _decoded(data: Mapping[str, str] | None, what: str) -> dict[str, bytes]:
    try:
        return {key: base64.b64decode(value, validate=True) for key, value in (data or {}).items()}
    except binascii.Error as error:
        raise Invalid(f"{what}: a value is not base64: {error}") from error
