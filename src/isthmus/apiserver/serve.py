"""The front door: who is asking, which document or resource, and every failure as a Status."""

import hashlib
import logging
from collections.abc import Callable

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver import discovery, openapi
from isthmus.apiserver.authentication import NOBODY, Tokens, User, of_certificate
from isthmus.apiserver.authorization import Authorizer, attributes_of
from isthmus.apiserver.call import JSON, YAML, negotiate, to_yaml
from isthmus.apiserver.call import Path as ResourcePath
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.impersonation import Impersonation
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.kubelet import FORWARDED
from isthmus.apiserver.status import (
    internal,
    manifest_of,
    method_not_allowed,
    no_such_path,
    out_of_space,
)
from isthmus.apiserver.verbs import Call, Verbs, warned, warning_of
from isthmus.errors import APIError, NotFound
from isthmus.kit.http import Request, Response, Stream, answer, client_digest, client_subject

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Server:
    """Answers every request to one cluster's API."""

    def __init__(self, cluster: Cluster, verbs: Verbs, tokens: Tokens, authorizer: Authorizer) -> None:
        self._cluster = cluster
        self._verbs = verbs
        self._tokens = tokens
        self._authorizer = authorizer
        self._impersonation = Impersonation(authorizer)

    async def handle(self, request: Request) -> Stream:
        """The answer to `request`; refusals and failures are Statuses."""
        answered = await self._settled(request)
        if not answered.prepared:
            answered.headers.setdefault("Cache-Control", "no-cache, private")
        return answered

    async def _settled(self, request: Request) -> Stream:
        try:
            return await self._answer(request)
        except APIError as error:
            return _refusal(request, error)
        except ConnectionError:
            # The caller hung up.
            raise
        except OSError as error:
            log.error("disk failed", extra={"error": str(error)})  # noqa: TRY400  # no traceback for a full disk
            return _refusal(request, out_of_space(str(error)))
        except Exception as error:
            log.exception("request failed", extra={"method": request.method, "path": request.path})
            return _refusal(request, internal(type(error).__name__))

    async def _answer(self, request: Request) -> Stream:
        path = request.path
        asked = attributes_of(self._user(request), request.method, path, request.query)
        asked = self._impersonation.acting(asked, request.headers.items())
        self._authorizer.check(asked)
        if asked.path is not None:
            return self._document(request, path.rstrip("/") or "/")
        try:
            at, kind = self._resource(path)
        except NotFound:
            if self._is_known(path):
                raise
            return _nowhere()
        if (at.group, at.plural, at.subresource) != (asked.group, asked.resource, asked.subresource):
            # An old path, with a verb in it, that says more than what is read here.
            raise no_such_path()
        if at.subresource not in FORWARDED:
            # Nothing is done for who could not read the answer.
            negotiate(request.headers.get("Accept", ""))
        answered = await self._verbs.answer(Call(request, kind, at, asked))
        if kind.warning and not answered.prepared:
            told = (warning_of(kind.warning), *answered.headers.getall("Warning", ()))
            answered.headers["Warning"] = ", ".join(told)
        return answered

    def _user(self, request: Request) -> User:
        """Who asks: a certificate says so before a token does. Raises Refused (401) for a token that is not good."""
        user = of_certificate(client_subject(request), client_digest(request))
        if user is not None:
            return user
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return self._tokens.user(token.strip())
        return NOBODY

    def _document(self, request: Request, path: str) -> Response:
        if path.removesuffix("/ping") in {"/healthz", "/livez", "/readyz"}:
            return answer(200, b"ok", "text/plain; charset=utf-8")
        try:
            return self._written_document(request, path)
        except NotFound:
            if self._is_known(path):
                raise
            return _nowhere()

    def _resource(self, path: str) -> tuple[ResourcePath, Kind]:
        """The place that a path leads to, and the kind that is served there. Raises NotFound."""
        at = ResourcePath.parse(path)
        kind = self._cluster.kinds.at(at.group, at.version, at.plural)
        misplaced = bool(at.namespace) and not kind.namespaced
        if misplaced or (kind.namespaced and at.name and not at.namespace):
            raise no_such_path()
        return at, kind

    def _is_known(self, path: str) -> bool:
        """Whether something is served above a path."""
        first, *rest = path.strip("/").split("/")
        return first in {"api", "version"} or (first == "apis" and self._cluster.kinds.is_built_in("".join(rest[:1])))

    def _written_document(self, request: Request, path: str) -> Response:
        if request.method != "GET":
            raise method_not_allowed()
        accepted = request.headers.get("Accept", "")
        if path in {"/api", "/apis"} and _takes_aggregated(accepted):
            found = discovery.aggregated(self._cluster.kinds, core=path == "/api")
            return _cached(request, _encode(found))
        if path == "/openapi/v2" and "protobuf" in accepted:
            return answer(200, openapi.EMPTY_V2, openapi.V2_TYPE)
        found = self._manifest(path)
        if negotiate(accepted if "openapi" not in path else "").media_type == YAML:
            return answer(200, to_yaml(found), YAML)
        return answer(200, _encode(found), JSON)

    def _manifest(self, path: str) -> Manifest:
        kinds = self._cluster.kinds
        fixed: dict[str, Callable[[], Manifest]] = {
            "/version": lambda: discovery.VERSION,
            "/api": discovery.core_versions,
            "/apis": lambda: discovery.group_list(kinds),
            "/openapi/v3": lambda: openapi.index(kinds),
        }
        if path in fixed:
            return fixed[path]()
        parts = path.strip("/").split("/")
        match parts:
            case ["api", version]:
                return discovery.resource_list(kinds, "", version)
            case ["apis", group]:
                return discovery.group(kinds, group)
            case ["apis", group, version]:
                return discovery.resource_list(kinds, group, version)
            case ["openapi", "v3", "api", version]:
                return openapi.document(kinds, "", version)
            case ["openapi", "v3", "apis", group, version]:
                return openapi.document(kinds, group, version)
        raise no_such_path()


def _cached(request: Request, body: bytes) -> Response:
    """A document that clients keep: sent only to who has another one (KEP-3352)."""
    tag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
    headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
    if request.headers.get("If-None-Match") == tag:
        return answer(304, b"", AGGREGATED_TYPE, headers)
    return answer(200, body, AGGREGATED_TYPE, headers)


def _nowhere() -> Response:
    """The answer below paths that nobody serves, which is no Status on the real server either."""
    return answer(404, b"404 page not found\n", "text/plain; charset=utf-8")


def _takes_aggregated(accept: str) -> bool:
    wanted = {"as=APIGroupDiscoveryList", "v=v2"}
    return any(wanted <= {part.strip() for part in each.split(";")} for each in accept.split(","))


def _refusal(request: Request, error: APIError) -> Response:
    headers = warned(getattr(error, "__notes__", ()))
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, int(error.retry_after)))
    told = manifest_of(error)
    if request.headers.get("Accept", "").partition(";")[0].strip() == YAML:
        return answer(error.code, to_yaml(told), YAML, headers)
    return answer(error.code, _encode(told), JSON, headers)
