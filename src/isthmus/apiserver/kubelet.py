"""Logs and shells of pods: requests that are passed on to the node."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from isthmus.api.scheme import Manifest
from isthmus.apiserver.status import bad_request, internal
from isthmus.errors import Unreachable
from isthmus.kit.http import Request, Stream, forward

FORWARDED = frozenset({"attach", "exec", "log", "portforward"})
LOG_OPTIONS = ("follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "tailLines", "timestamps", "stream")
# The real server's parameters on the left, its kubelet's on the right.
STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


def options_of(query: Mapping[str, str], subresource: str) -> Manifest:
    """What a request to `exec`, `attach` or `portforward` says, as the object that policies see."""
    kind = {"exec": "PodExecOptions", "attach": "PodAttachOptions"}.get(subresource, "PodPortForwardOptions")
    flags = {name: True for name in STREAMS if query.get(name, "").lower() in {"1", "true"}}
    said: Manifest = {"apiVersion": "v1", "kind": kind, **flags}
    if container := query.get("container"):
        said["container"] = container
    command = [value for name, value in query.items() if name == "command"]
    return said | ({"command": command} if command else {})


async def pass_on(request: Request, socket: Path | None, pod: Manifest, subresource: str) -> Stream:
    """Pass a pod's `log`, `exec`, `attach` or `portforward` request on to its node. Raises Refused, ServerFault."""
    if socket is None:
        raise internal("this cluster has no node")
    if not (pod.get("spec") or {}).get("nodeName"):
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    metadata = pod["metadata"]
    place = [metadata["namespace"], metadata["name"]]
    if subresource == "portforward":
        target = "/portForward/" + "/".join(map(quote, place))
        asked = [("ports", port) for port in request.query.getall("ports", [])]
    else:
        container = _container(pod, request.query.get("container", ""))
        root = {"log": "containerLogs"}.get(subresource, subresource)
        target = f"/{root}/" + "/".join(map(quote, [*place, container]))
        asked = _log_query(request) if subresource == "log" else _stream_query(request)
    try:
        return await forward(request, socket, f"{target}?{urlencode(asked)}" if asked else target)
    except Unreachable as error:
        raise internal(f"error dialing backend: {error}") from error


def _container(pod: Manifest, name: str) -> str:
    spec = pod["spec"]
    names: list[str] = [each["name"] for each in spec.get("containers") or ()]
    every = names + [each["name"] for each in spec.get("initContainers") or ()]
    if name and name in every:
        return name
    if name:
        raise bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
    if len(names) == 1:
        return names[0]
    raise bad_request(
        f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{' '.join(names)}]"
    )


def _log_query(request: Request) -> list[tuple[str, str]]:
    return [(name, request.query[name]) for name in LOG_OPTIONS if name in request.query]


def _stream_query(request: Request) -> list[tuple[str, str]]:
    asked = [("command", word) for word in request.query.getall("command", [])]
    for name, inner in STREAMS.items():
        if request.query.get(name, "").lower() in {"1", "true"}:
            # Both spellings: the kubelet's, and the API's.
            asked += [(inner, "1")] if inner == name else [(inner, "1"), (name, "1")]
    return asked
