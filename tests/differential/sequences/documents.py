"""Documents about the server: discovery in both forms, OpenAPI, versions, health."""

from tests.differential.openapi import GROUP_VERSIONS
from tests.differential.steps import Sequence, Step, get, sequence

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
GROUPS = ("apps", "discovery.k8s.io", "coordination.k8s.io", "events.k8s.io", "apiextensions.k8s.io")

DISCOVERY = sequence(
    "discovery: groups and resources",
    get("/api/v1"),
    *(get(f"/apis/{group}/v1") for group in GROUPS),
    *(get(f"/apis/{group}") for group in GROUPS),
    get("/api"),
    get("/api/v2"),
    get("/apis/nonsense"),
    get("/apis/nonsense/v1"),
    get("/apis/apps/v9"),
    get("/apis/apps/v1/nonsense"),
    get("/api/v1", "application/yaml"),
    get("/api/v1", "text/plain"),
    get("/api/", "*/*"),
    get("/api/v1/"),
    get("/apis/apps/"),
    Step("POST", "/api/v1", "{}"),
    Step("DELETE", "/apis/apps/v1"),
    Step("HEAD", "/api/v1"),
    get("/apis", f"{AGGREGATED.replace('v=v2', 'v=v9')}"),
    get("/nonsense"),
    get("/"),
)

AGGREGATE = sequence("discovery: all in one", get("/apis", AGGREGATED), get("/api", AGGREGATED), get("/version"))
HEALTH = sequence(
    "versions and health",
    get("/healthz"),
    get("/livez"),
    get("/readyz"),
    get("/healthz/ping"),
    get("/readyz/ping"),
    get("/livez/ping"),
    get("/readyz/nonsense"),
    Step("POST", "/readyz"),
    Step("HEAD", "/readyz"),
    get("/version/nonsense"),
    Step("POST", "/version"),
)

OPENAPI = sequence(
    "openapi",
    get("/openapi/v3"),
    *(get(f"/openapi/v3/{path}") for path in sorted(GROUP_VERSIONS)),
    get("/openapi/v3/apis/nonsense/v1"),
    get("/openapi/v3/apis/apps/v9"),
    get("/openapi/v2"),
    get("/openapi/v2", V2),
)

SEQUENCES: tuple[Sequence, ...] = (DISCOVERY, HEALTH, AGGREGATE, OPENAPI)
