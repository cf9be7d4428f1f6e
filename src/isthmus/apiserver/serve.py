"""The front door: who is asking, which document or resource, and every failure as a Status."""

import logging
from collections.abc import Callable

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver import discovery, openapi
from isthmus.apiserver.authentication import Tokens, User, of_certificate
from isthmus.apiserver.call import JSON
from isthmus.apiserver.call import Path as ResourcePath
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.status import (
    internal,
    manifest_of,
    method_not_allowed,
    no_such_path,
    out_of_space,
    unauthorized,
)
from isthmus.apiserver.verbs import Call, Verbs
from isthmus.errors import APIError
from isthmus.kit.http import Request, Response, Stream, answer, client_subject

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version"})
AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Server:
    """Answers every request to one cluster's API."""

    def __init__(self, cluster: Cluster, verbs: Verbs, tokens: Tokens) -> None:
        self._cluster = cluster
        self._verbs = verbs
        self._tokens = tokens

    async def handle(self, request: Request) -> Stream:
        """The answer to `request`; refusals and failures are Statuses."""
        try:
            return await self._answer(request)
        except APIError as error:
            return _refusal(error)
        except ConnectionError:
            # The caller hung up.
            raise
        except OSError as error:
            log.error("disk failed", extra={"error": str(error)})  # noqa: TRY400  # no traceback for a full disk
            return _refusal(out_of_space(str(error)))
        except Exception as error:
            log.exception("request failed", extra={"method": request.method, "path": request.path})
            return _refusal(internal(type(error).__name__))

    async def _answer(self, request: Request) -> Stream:
        path = request.path
        user = self._user(request)
        if user is None and path.rstrip("/") not in PUBLIC:
            raise unauthorized()
        if user is None or not _leads_to_resources(path):
            return self._document(request, path.rstrip("/") or "/")
        at = ResourcePath.parse(path)
        kind = self._cluster.kinds.at(at.group, at.version, at.plural)
        if bool(at.namespace) and not kind.namespaced:
            raise no_such_path()
        if kind.namespaced and at.name and not at.namespace:
            raise no_such_path()
        return await self._verbs.answer(Call(request, kind, at, user))

    def _user(self, request: Request) -> User | None:
        """Who asks; None for nobody in particular. Raises Refused (401) for a token that is not good."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return self._tokens.user(token.strip())
        return of_certificate(client_subject(request))

    def _document(self, request: Request, path: str) -> Response:
        if request.method not in {"GET", "HEAD"}:
            raise method_not_allowed()
        if path in {"/healthz", "/livez", "/readyz"}:
            return answer(200, b"ok", "text/plain; charset=utf-8")
        accepted = request.headers.get("Accept", "")
        if path in {"/api", "/apis"} and _takes_aggregated(accepted):
            found = discovery.aggregated(self._cluster.kinds, core=path == "/api")
            return answer(200, _encode(found), AGGREGATED_TYPE)
        if path == "/openapi/v2" and "protobuf" in accepted:
            return answer(200, openapi.EMPTY_V2, openapi.V2_TYPE)
        return answer(200, _encode(self._manifest(path)), JSON)

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


def _takes_aggregated(accept: str) -> bool:
    wanted = {"as=APIGroupDiscoveryList", "v=v2"}
    return any(wanted <= {part.strip() for part in each.split(";")} for each in accept.split(","))


def _leads_to_resources(path: str) -> bool:
    parts = path.strip("/").split("/")
    return len(parts) > {"api": 2, "apis": 3}.get(parts[0], len(parts))


def _refusal(error: APIError) -> Response:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, int(error.retry_after)))
    return answer(error.code, _encode(manifest_of(error)), JSON, headers)
