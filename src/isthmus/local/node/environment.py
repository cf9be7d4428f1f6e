"""A container's environment: its variables with their sources resolved and references expanded.

core/v1 EnvVar; "Define Dependent Environment Variables"; kubelet's rules for envFrom and service links.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from isthmus.api.core import Service
from isthmus.errors import Invalid
from isthmus.local.node.podspec import Container, EnvFrom, EnvVar, KeySelector, ObjectSelector, Pod

V = TypeVar("V")

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
# Larger ones do not fit on a command's stack with the rest (execve(2)).
_LARGEST_VALUE = 128 * 1024 - 1


@dataclass(frozen=True)
class Facts:
    """What a container may ask about its surroundings; keys of the maps are object names of the pod's namespace."""

    pod: Pod
    addresses: tuple[str, ...]
    node_name: str
    node_addresses: tuple[str, ...]
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


def variables(container: Container, facts: Facts, services: Mapping[str, str]) -> dict[str, str]:
    """All variables of a container; `services` are those that came before it (service links).

    Raises Invalid naming what is missing.
    """
    found = {"PATH": DEFAULT_PATH, "HOME": "/", "HOSTNAME": host_name(facts.pod)} | dict(services)
    for source in container.env_from:
        found |= _all_keys(source, facts)
    for variable in container.env:
        value = _value(variable, found, facts)
        if value is not None:
            found[variable.name] = value
    for name, value in found.items():
        if "\0" in value or "=" in name or not name or len(name) + len(value) > _LARGEST_VALUE:
            raise Invalid(f"env {name}: no program takes this variable; it must be short, without NUL and =")
    return found


def expand(text: str, found: Mapping[str, str]) -> str:
    """The text with `$(NAME)` replaced where NAME is known, and `$$` as an escape."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return found.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def host_name(pod: Pod) -> str:
    """The pod's own host name, within the length the kernel allows."""
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def field_value(path: str, facts: Facts) -> str:
    """A field of the pod (downward API); raises Invalid for one that cannot be asked for."""
    metadata = facts.pod.metadata
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        values = metadata.labels if subscript[1] == "labels" else metadata.annotations
        return values.get(subscript[2], "")
    known = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "metadata.labels": _lines(metadata.labels),
        "metadata.annotations": _lines(metadata.annotations),
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": facts.pod.spec.service_account_name,
        "status.hostIP": facts.node_addresses[0],
        "status.hostIPs": ",".join(facts.node_addresses),
        "status.podIP": facts.addresses[0],
        "status.podIPs": ",".join(facts.addresses),
    }
    if path not in known:
        raise Invalid(f"fieldPath {path!r} cannot be asked for; known are {', '.join(sorted(known))}")
    return known[path]


def service_links(services: Iterable[Service]) -> dict[str, str]:
    """The variables `<NAME>_SERVICE_HOST` and so on of Services that have an address."""
    found: dict[str, str] = {}
    for service in services:
        address = service.spec.cluster_ip
        if not address or address == "None" or not service.spec.ports:
            continue
        name = _variable_name(service.metadata.name)
        first = service.spec.ports[0]
        found[f"{name}_SERVICE_HOST"] = address
        found[f"{name}_SERVICE_PORT"] = str(first.port)
        found[f"{name}_PORT"] = f"{first.protocol.lower()}://{address}:{first.port}"
        for port in service.spec.ports:
            if port.name:
                found[f"{name}_SERVICE_PORT_{_variable_name(port.name)}"] = str(port.port)
    return found


def _variable_name(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")


def _all_keys(source: EnvFrom, facts: Facts) -> dict[str, str]:
    found: dict[str, str] = {}
    if source.config_map_ref:
        found |= _whole("ConfigMap", source.config_map_ref, facts.config_maps)
    if source.secret_ref:
        data = _whole("Secret", source.secret_ref, facts.secrets)
        found |= {key: value.decode(errors="replace") for key, value in data.items()}
    return {source.prefix + key: value for key, value in found.items()}


def _whole(kind: str, wanted: ObjectSelector, objects: Mapping[str, Mapping[str, V]]) -> Mapping[str, V]:
    if wanted.name in objects:
        return objects[wanted.name]
    if wanted.optional:
        return {}
    raise Invalid(f'{kind.lower()} "{wanted.name}" not found')


def _value(variable: EnvVar, found: Mapping[str, str], facts: Facts) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, found)
    if source.field_ref:
        return field_value(source.field_ref.field_path, facts)
    if source.config_map_key_ref:
        return _key("ConfigMap", source.config_map_key_ref, facts.config_maps)
    if source.secret_key_ref:
        secret = _key("Secret", source.secret_key_ref, facts.secrets)
        return None if secret is None else secret.decode(errors="replace")
    raise Invalid(f"env {variable.name}: valueFrom names no source")


def _key(kind: str, wanted: KeySelector, objects: Mapping[str, Mapping[str, V]]) -> V | None:
    found = objects.get(wanted.name)
    if found is not None and wanted.key in found:
        return found[wanted.key]
    if wanted.optional:
        return None
    if found is None:
        raise Invalid(f'{kind.lower()} "{wanted.name}" not found')
    raise Invalid(f"couldn't find key {wanted.key} in {kind} {wanted.name!r}")


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(values.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
