"""A pod's own files on the node: its volumes, /etc/hosts, /etc/resolv.conf, and where containers see them."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import Invalid
from isthmus.local.node.environment import Facts, field_value, host_name
from isthmus.local.node.podspec import (
    ConfigMapVolume,
    Container,
    DownwardVolume,
    HostPath,
    KeyToPath,
    Pod,
    Projection,
    SecretVolume,
    Volume,
)
from isthmus.local.node.rootfs import Mount
from isthmus.local.node.sources import OWN_TOKEN, SERVICE_ACCOUNT_PATH, Sources, wants_own_token

_NSSWITCH = Path("/etc/nsswitch.conf")
_LARGEST_MESSAGE = 4096


@dataclass(frozen=True)
class File:
    """What a file holds, and its mode."""

    content: bytes
    mode: int = 0o644


Tree = dict[str, File]


@dataclass(frozen=True)
class Surroundings:
    """What a node puts into every pod: its name servers, and the authority of its API server."""

    name_servers: Sequence[str]
    ca: bytes


class PodFiles:
    """The folder of one pod on the node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, facts: Facts, sources: Sources, around: Surroundings) -> None:
        """Make all files as they should be now; those that are right already stay untouched.

        Raises Invalid for what cannot be made, and OSError when the disk refuses.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_tree(self.folder / "etc", etc_files(facts, around.name_servers))
        for volume in facts.pod.spec.volumes:
            place = self._volume(volume)
            if volume.empty_dir is not None:
                place.mkdir(parents=True, exist_ok=True)
                place.chmod(0o777)
            elif volume.host_path:
                _prepare(volume.host_path)
            else:
                write_tree(place, volume_files(volume, facts, sources))
        if wants_own_token(facts.pod):
            files = {
                "token": File(sources.tokens.get(OWN_TOKEN, "").encode()),
                "ca.crt": File(around.ca),
                "namespace": File(facts.pod.metadata.namespace.encode()),
            }
            write_tree(self.folder / "serviceaccount", files)

    def root(self, container: Container) -> Path:
        """The empty folder upon which a container's view is built."""
        place = self.folder / "containers" / container.name
        place.mkdir(parents=True, exist_ok=True)
        return place

    def mounts(self, pod: Pod, container: Container) -> list[Mount]:
        """What one container sees of the pod's files."""
        found = [Mount(str(path), f"/etc/{path.name}") for path in sorted((self.folder / "etc").iterdir())]
        if wants_own_token(pod):
            found.append(Mount(str(self.folder / "serviceaccount"), SERVICE_ACCOUNT_PATH, read_only=True))
        if container.termination_message_path:
            message = self._message(container)
            message.touch()
            found.append(Mount(str(message), container.termination_message_path))
        volumes = {volume.name: volume for volume in pod.spec.volumes}
        for mount in container.volume_mounts:
            volume = volumes[mount.name]
            source = self._volume(volume) / mount.sub_path
            if mount.sub_path and not source.exists():
                source.mkdir(parents=True)
            read_only = mount.read_only or not (volume.empty_dir is not None or volume.host_path)
            found.append(Mount(os.path.realpath(source), mount.mount_path.rstrip("/") or "/", read_only))
        return found

    def take_message(self, container: Container) -> str:
        """What the container left in its termination log, which is empty afterwards."""
        path = self._message(container)
        try:
            with path.open("rb") as file:
                said = file.read(_LARGEST_MESSAGE)
            path.write_bytes(b"")
        except OSError:
            return ""
        return said.decode(errors="replace")

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _volume(self, volume: Volume) -> Path:
        if volume.host_path:
            return Path(os.path.realpath(volume.host_path.path))
        return self.folder / "volumes" / volume.name

    def _message(self, container: Container) -> Path:
        return self.folder / f"{container.name}.message"


def write_tree(folder: Path, files: Tree) -> None:
    """Make a folder hold exactly these files, each replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        path = folder / name
        if path.is_file() and path.read_bytes() == file.content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.write_bytes(file.content)
        unfinished.chmod(file.mode)
        unfinished.replace(path)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if str(path.relative_to(folder)) not in files:
            path.unlink()


def etc_files(facts: Facts, name_servers: Sequence[str]) -> Tree:
    """The files below /etc that make a pod find names as in any cluster."""
    found = {
        "hosts": File(_hosts(facts).encode()),
        "resolv.conf": File(_resolv_conf(facts.pod, name_servers).encode()),
    }
    if _NSSWITCH.exists():
        found["nsswitch.conf"] = File(_nsswitch(_NSSWITCH.read_text(errors="replace")).encode())
    return found


def volume_files(volume: Volume, facts: Facts, sources: Sources) -> Tree:
    """The files of a volume that is made of objects; raises Invalid for what is missing."""
    if volume.projected:
        found: Tree = {}
        for projection in volume.projected.sources:
            found |= _projected(projection, volume.projected.default_mode, facts, sources)
        return found
    whole = Projection(config_map=volume.config_map, secret=volume.secret, downward_api=volume.downward_api)
    return _projected(whole, None, facts, sources)


def _projected(projection: Projection, mode: int | None, facts: Facts, sources: Sources) -> Tree:
    found: Tree = {}
    if projection.config_map:
        found |= _config_map(projection.config_map, mode, sources)
    if projection.secret:
        found |= _secret(projection.secret, mode, sources)
    if projection.downward_api:
        found |= _downward(projection.downward_api, mode, facts)
    if projection.service_account_token:
        wanted = projection.service_account_token
        found[_inner(wanted.path)] = File(sources.tokens[wanted].encode(), mode or 0o644)
    return found


def _config_map(wanted: ConfigMapVolume, mode: int | None, sources: Sources) -> Tree:
    if wanted.name not in sources.config_maps:
        return {}
    values = {key: value.encode() for key, value in sources.config_maps[wanted.name].items()}
    values |= sources.binary.get(wanted.name, {})
    return dict(_keys(values, wanted.items, mode or wanted.default_mode, optional=wanted.optional))


def _secret(wanted: SecretVolume, mode: int | None, sources: Sources) -> Tree:
    values = sources.secrets.get(wanted.secret_name or wanted.name)
    if values is None:
        return {}
    return dict(_keys(values, wanted.items, mode or wanted.default_mode, optional=wanted.optional))


def _keys(
    values: Mapping[str, bytes], items: Sequence[KeyToPath], mode: int, *, optional: bool
) -> Iterator[tuple[str, File]]:
    if not items:
        yield from ((_inner(key), File(value, mode)) for key, value in values.items())
        return
    for item in items:
        if item.key in values:
            yield _inner(item.path), File(values[item.key], item.mode or mode)
        elif not optional:
            raise Invalid(f"references non-existent config key: {item.key}")


def _downward(wanted: DownwardVolume, mode: int | None, facts: Facts) -> Tree:
    found: Tree = {}
    for item in wanted.items:
        if item.field_ref is None:
            raise Invalid(f"{item.path}: resourceFieldRef is not supported on an embedded node; it limits nothing")
        value = field_value(item.field_ref.field_path, facts)
        found[_inner(item.path)] = File(value.encode(), item.mode or mode or wanted.default_mode)
    return found


def _inner(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise Invalid(f"{path!r} must be a path within the volume")
    return path


def _prepare(wanted: HostPath) -> None:
    path = Path(wanted.path)
    if wanted.type == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif wanted.type == "FileOrCreate":
        path.touch()
    fits = {"Directory": path.is_dir, "File": path.is_file, "Socket": path.is_socket}.get(wanted.type, path.exists)
    if not fits():
        raise Invalid(f"hostPath {wanted.path} is not there, or no {wanted.type or 'path'}")


def _hosts(facts: Facts) -> str:
    pod = facts.pod
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    name = host_name(pod)
    names = name
    if pod.spec.subdomain:
        names = f"{name}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.cluster.local\t{name}"
    lines += [f"{address}\t{names}" for address in facts.addresses]
    lines += ["\t".join((alias.ip, *alias.hostnames)) for alias in pod.spec.host_aliases]
    return "\n".join(lines) + "\n"


def _resolv_conf(pod: Pod, name_servers: Sequence[str]) -> str:
    servers: list[str] = []
    searches: list[str] = []
    options = {"ndots": "5"}
    if pod.spec.dns_policy in {"ClusterFirst", "ClusterFirstWithHostNet"}:
        servers = list(name_servers)
        zone = "cluster.local"
        searches = [f"{pod.metadata.namespace}.svc.{zone}", f"svc.{zone}", zone]
    else:
        options = {}
    if pod.spec.dns_config:
        servers += pod.spec.dns_config.nameservers
        searches += pod.spec.dns_config.searches
        options |= {option.name: option.value or "" for option in pod.spec.dns_config.options}
    lines = [f"nameserver {server}" for server in dict.fromkeys(servers)]
    if searches:
        lines.append("search " + " ".join(dict.fromkeys(searches)))
    if options:
        lines.append("options " + " ".join(f"{k}:{v}" if v else k for k, v in options.items()))
    return "\n".join(lines) + "\n"


def _nsswitch(host: str) -> str:
    """The host's, but names are asked of /etc/hosts and DNS alone: its other sources do not know the pod."""
    lines = [line for line in host.splitlines() if not line.strip().startswith("hosts:")]
    return "\n".join([*lines, "hosts: files dns"]) + "\n"
