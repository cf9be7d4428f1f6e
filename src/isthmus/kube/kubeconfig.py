"""The kubeconfig format: files as kubectl writes them, read one by one and merged, first come first kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import yaml

from isthmus.errors import Invalid

MAX_FILE: Final = 16 << 20
MAX_DEPTH: Final = 50

S = TypeVar("S")


class ClusterInfo(msgspec.Struct, rename="kebab"):
    """How to reach a server."""

    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None
    disable_compression: bool | None = None
    extensions: list[dict[str, object]] | None = None


class EnvVar(msgspec.Struct):
    """One environment variable of a plugin."""

    name: str
    value: str = ""


class ExecInfo(msgspec.Struct, rename="camel"):
    """A plugin that hands out credentials."""

    command: str
    api_version: str = ""
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None
    install_hint: str | None = None


class UserInfo(msgspec.Struct, rename="kebab"):
    """Who to be. An `auth-provider` is only looked for, to refuse it."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(name="tokenFile", default=None)
    username: str | None = None
    password: str | None = None
    exec: ExecInfo | None = None
    auth_provider: dict[str, object] | None = None
    as_: str | None = msgspec.field(name="as", default=None)
    as_uid: str | None = None
    as_groups: list[str] | None = None
    as_user_extra: dict[str, list[str]] | None = None


class ContextInfo(msgspec.Struct, rename="kebab"):
    """Who to be, and where."""

    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class _Cluster(msgspec.Struct):
    name: str
    cluster: ClusterInfo | None = None


class _User(msgspec.Struct):
    name: str
    user: UserInfo | None = None


class _Context(msgspec.Struct):
    name: str
    context: ContextInfo | None = None


class KubeconfigFile(msgspec.Struct, rename="kebab"):
    """One file as it is written; `extensions` are only looked for."""

    current_context: str | None = None
    clusters: list[_Cluster] | None = None
    users: list[_User] | None = None
    contexts: list[_Context] | None = None
    extensions: list[object] | None = None


@dataclass
class Merged:
    """Entries by name, each with the file that it came from."""

    current: str = ""
    files: list[Path] = field(default_factory=list)
    clusters: dict[str, tuple[Path, ClusterInfo]] = field(default_factory=dict)
    users: dict[str, tuple[Path, UserInfo]] = field(default_factory=dict)
    contexts: dict[str, tuple[Path, ContextInfo]] = field(default_factory=dict)


def merged(paths: Sequence[Path]) -> Merged:
    """All files as one, as kubectl does it: of two values the first stays; missing files are skipped."""
    whole = Merged()
    for path in paths:
        if (found := _file(path)) is None:
            continue
        whole.files.append(path)
        whole.current = whole.current or found.current_context or ""
        _add(whole.clusters, path, ((c.name, c.cluster or ClusterInfo()) for c in found.clusters or ()))
        _add(whole.users, path, ((u.name, u.user or UserInfo()) for u in found.users or ()))
        _add(whole.contexts, path, ((c.name, c.context or ContextInfo()) for c in found.contexts or ()))
    return whole


def _add(known: dict[str, tuple[Path, S]], path: Path, entries: Iterable[tuple[str, S]]) -> None:
    for name, entry in entries:
        known.setdefault(name, (path, entry))


def _file(path: Path) -> KubeconfigFile | None:
    content = _content(path)
    return None if content is None else parsed(content, str(path))


def parsed(content: bytes, origin: str) -> KubeconfigFile:
    """A file's content; raises Invalid, naming `origin` and the field."""
    try:
        _must_be_shallow(content)
        document = yaml.load(content, Loader=_loader())  # noqa: S506  # it is the safe loader, or its C twin
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        raise Invalid(f"{origin}: not YAML: {_one_line(problem)}; correct the file, or name another") from problem
    try:
        return msgspec.convert({} if document is None else document, KubeconfigFile)
    except (msgspec.ValidationError, RecursionError) as problem:
        what, _, where = str(problem).partition(" - at ")
        place = where.strip("`").removeprefix("$.") or "top level"
        raise Invalid(f"{origin}: {place}: {what}; is it a kubeconfig?") from problem


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise Invalid(f"{path}: cannot read it: {problem.strerror}; check the path and its permissions") from problem
    if len(content) > MAX_FILE:
        raise Invalid(f"{path}: larger than {MAX_FILE >> 20} MiB; is it a kubeconfig?")
    return content


def _must_be_shallow(content: bytes) -> None:
    # libyaml's loader recurses in C: nesting without end would not raise, but kill the process.
    depth = 0
    for event in yaml.parse(content, Loader=_loader()):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _loader() -> type[yaml.SafeLoader]:
    # libyaml's loader is ten times faster, but not everywhere compiled in.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())


def names(known: Iterable[str]) -> str:
    """For error texts: what there is instead."""
    return ", ".join(_shortened(sorted(known))) or "none"


def _shortened(known: list[str]) -> Iterator[str]:
    yield from known[:10]
    if len(known) > 10:
        yield f"and {len(known) - 10} more"
