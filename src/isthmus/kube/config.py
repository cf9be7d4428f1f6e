"""Where a cluster's API server is and who to be there: from a kubeconfig, or from inside a pod."""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.execplugin import MODES, VERSIONS, Plugin
from isthmus.kube.kubeconfig import ClusterInfo, ExecInfo, Merged, UserInfo, merged, names
from isthmus.kube.tls import Material, Trust
from isthmus.kube.tls import context as tls_context

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
NO_TRUST: Final = Trust()


@dataclass(frozen=True, slots=True)
class Config:
    """One API server, and an identity there. Callers hand it on; they do not look inside."""

    server: str
    context: str = ""
    namespace: str = "default"
    trust: Trust = NO_TRUST
    server_name: str = ""
    proxy: str = ""
    compression: bool = True
    token: Material | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    plugin: Plugin | None = None

    def __post_init__(self) -> None:
        if problem := _problem_with(self.server):
            raise Invalid(problem)


def load_kubeconfig(
    paths: Sequence[Path] | None = None, *, context: str | None = None, clock: Clock = SYSTEM
) -> Config:
    """The context named (else the current one) of these files, else of $KUBECONFIG, else of ~/.kube/config.

    Raises Invalid, naming file, field and next step.
    """
    known = merged(_usual_paths() if paths is None else paths)
    where = ", ".join(map(str, known.files))
    if not known.files:
        looked = ", ".join(map(str, _usual_paths() if paths is None else paths))
        raise Invalid(f"no kubeconfig: looked for {looked}; set KUBECONFIG, or name a file")
    chosen = context or known.current
    if not chosen:
        raise Invalid(f"{where}: current-context is not set; name one of the contexts: {names(known.contexts)}")
    if chosen not in known.contexts:
        raise Invalid(f"{where}: no context {chosen!r}; there are: {names(known.contexts)}")
    config = _Reader(known, chosen).config()
    if config.server.startswith("https:"):
        tls_context(config.trust, now=clock.now())
    return config


def in_cluster(root: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ) -> Config:
    """The identity that Kubernetes gives to a pod; raises Invalid outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise Invalid(
            "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; name a kubeconfig"
        )
    token = Material("service account token", file=root / "token")
    authority = Material("service account ca.crt", file=root / "ca.crt")
    token.read()
    authority.read()
    try:
        namespace = (root / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Config(server, "in-cluster", namespace or "default", Trust(authority), token=token)


def inferred_namespace(root: Path = SERVICE_ACCOUNT) -> str:
    """Where a program is at home, as client-go has it: by its kubeconfig's context, else its pod, else `default`."""
    known = merged(_usual_paths())
    if known.current in known.contexts and (namespace := known.contexts[known.current][1].namespace):
        return namespace
    try:
        return (root / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"


def _usual_paths() -> list[Path]:
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return named or [Path.home() / ".kube" / "config"]


class _Reader:
    """One context of a merged kubeconfig, field by field."""

    def __init__(self, known: Merged, chosen: str) -> None:
        self._context = chosen
        place, self._chosen = known.contexts[chosen]
        wanted = f"{place}: contexts[{chosen}].context"
        if self._chosen.cluster not in known.clusters:
            raise Invalid(f"{wanted}.cluster: no cluster {self._chosen.cluster!r}; there are: {names(known.clusters)}")
        if self._chosen.user and self._chosen.user not in known.users:
            raise Invalid(f"{wanted}.user: no user {self._chosen.user!r}; there are: {names(known.users)}")
        self._cluster_file, self._cluster = known.clusters[self._chosen.cluster]
        self._user_file, self._user = known.users.get(self._chosen.user, (place, UserInfo()))
        self._in_cluster = f"{self._cluster_file}: clusters[{self._chosen.cluster}].cluster"
        self._in_user = f"{self._user_file}: users[{self._chosen.user}].user"

    def config(self) -> Config:
        cluster, user = self._cluster, self._user
        if user.auth_provider:
            raise Invalid(f"{self._in_user}.auth-provider: Kubernetes has dropped these; use an exec plugin instead")
        trust = self._trust(cluster, user)
        return Config(
            server=self._server(trust),
            context=self._context,
            namespace=self._chosen.namespace or "default",
            trust=trust,
            server_name=cluster.tls_server_name or "",
            proxy=self._proxy(cluster.proxy_url or ""),
            compression=not cluster.disable_compression,
            token=self._token(user),
            headers=(*_basic(user), *self._impersonation(user)),
            plugin=self._plugin(user.exec) if user.exec else None,
        )

    def _server(self, trust: Trust) -> str:
        server = self._cluster.server.rstrip("/")
        if not server:
            raise Invalid(f"{self._in_cluster}.server: not set; write https://HOST:PORT")
        if "://" not in server:
            secure = trust.authority or trust.certificate or trust.insecure
            server = f"https://{server}" if secure else f"http://{server}"
        if problem := _problem_with(server):
            raise Invalid(f"{self._in_cluster}.server: {problem}")
        return server

    def _proxy(self, url: str) -> str:
        if url and _problem_with(url):
            raise Invalid(
                f"{self._in_cluster}.proxy-url: {url!r} is no proxy; write http://HOST:PORT or https://HOST:PORT"
            )
        return url

    def _trust(self, cluster: ClusterInfo, user: UserInfo) -> Trust:
        insecure = bool(cluster.insecure_skip_tls_verify)
        authority = self._material(
            f"{self._in_cluster}.certificate-authority",
            cluster.certificate_authority_data,
            cluster.certificate_authority,
            self._cluster_file,
        )
        if insecure and authority:
            raise Invalid(
                f"{self._in_cluster}.insecure-skip-tls-verify: set beside a certificate-authority; remove one"
            )
        certificate = self._of_user("client-certificate", user.client_certificate_data, user.client_certificate)
        key = self._of_user("client-key", user.client_key_data, user.client_key)
        if bool(certificate) != bool(key):
            missing = "client-key" if certificate else "client-certificate"
            raise Invalid(f"{self._in_user}.{missing}: not set, but its counterpart is; give both or none")
        return Trust(authority, certificate, key, insecure)

    def _of_user(self, origin: str, data: str | None, file: str | None) -> Material | None:
        return self._material(f"{self._in_user}.{origin}", data, file, self._user_file)

    def _material(self, origin: str, data: str | None, file: str | None, beside: Path) -> Material | None:
        if data:
            try:
                return Material(f"{origin}-data", base64.b64decode("".join(data.split()), validate=True))
            except (binascii.Error, ValueError) as problem:
                raise Invalid(f"{origin}-data: not base64: {problem}; copy the kubeconfig anew") from problem
        return Material(origin, file=beside.absolute().parent / file) if file else None

    def _token(self, user: UserInfo) -> Material | None:
        # As in client-go, a file beats a token beside it.
        if user.token_file:
            token = Material(f"{self._in_user}.tokenFile", file=self._user_file.absolute().parent / user.token_file)
            token.read()
            return token
        if user.token and (user.username or user.password):
            raise Invalid(f"{self._in_user}: both token and username are set; remove one")
        return Material(f"{self._in_user}.token", user.token.encode()) if user.token else None

    def _impersonation(self, user: UserInfo) -> list[tuple[str, str]]:
        extra = user.as_user_extra or {}
        headers = [("Impersonate-User", user.as_ or ""), ("Impersonate-Uid", user.as_uid or "")]
        headers += [("Impersonate-Group", group) for group in user.as_groups or ()]
        headers += [(f"Impersonate-Extra-{quote(key)}", v) for key, values in extra.items() for v in values]
        given = [(name, value) for name, value in headers if value]
        if given and not user.as_:
            raise Invalid(f"{self._in_user}.as: not set, but other fields of impersonation are; set it")
        return given

    def _plugin(self, info: ExecInfo) -> Plugin:
        origin = f"{self._in_user}.exec"
        if info.api_version not in VERSIONS:
            raise Invalid(f"{origin}.apiVersion: {info.api_version!r} is none of {', '.join(VERSIONS)}")
        mode = info.interactive_mode or ("IfAvailable" if info.api_version == VERSIONS[1] else "")
        if mode not in MODES:
            raise Invalid(f"{origin}.interactiveMode: {mode!r} is none of {', '.join(MODES)}")
        command = info.command
        if os.sep in command:
            command = str(self._user_file.absolute().parent / command)
        return Plugin(
            origin=origin,
            command=command,
            api_version=info.api_version,
            args=tuple(info.args or ()),
            env=tuple((variable.name, variable.value) for variable in info.env or ()),
            cluster=self._cluster_info() if info.provide_cluster_info else None,
            mode=mode,
            hint=" ".join((info.install_hint or "").split()),
        )

    def _cluster_info(self) -> Manifest:
        cluster = self._cluster
        authority = self._trust(cluster, UserInfo()).authority
        facts = {
            "server": cluster.server,
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
            "certificate-authority-data": base64.b64encode(authority.read()).decode() if authority else None,
            "proxy-url": cluster.proxy_url,
            "disable-compression": cluster.disable_compression,
            "config": next(
                (e.get("extension") for e in cluster.extensions or () if e.get("name") == EXEC_EXTENSION),
                None,
            ),
        }
        return {name: value for name, value in facts.items() if value}


def _problem_with(server: str) -> str:
    try:
        parts = urlsplit(server)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    return "" if usable else f"{server!r} is no http or https address; write https://HOST:PORT"


def _basic(user: UserInfo) -> list[tuple[str, str]]:
    if not user.username and not user.password:
        return []
    pair = f"{user.username or ''}:{user.password or ''}".encode()
    return [("Authorization", f"Basic {base64.b64encode(pair).decode()}")]
