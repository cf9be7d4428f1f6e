"""The verbs on resources: from a request that names a kind to the answer's bytes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver import kubelet, patch, reading, scale
from isthmus.apiserver.authentication import User
from isthmus.apiserver.call import JSON, MAX_BODY, Form, flag, negotiate, read_json, read_manifest
from isthmus.apiserver.call import Path as ResourcePath
from isthmus.apiserver.cluster import Cluster, timestamp
from isthmus.apiserver.deleting import DeleteOptions, Deleting
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.presenting import Presenter
from isthmus.apiserver.reading import Selection
from isthmus.apiserver.reviews import Reviews
from isthmus.apiserver.status import (
    SUCCESS,
    bad_request,
    conflict,
    details_of,
    invalid_options,
    method_not_allowed,
    no_such_path,
    too_large,
    unsupported_media_type,
    unsupported_option,
)
from isthmus.apiserver.watching import Watch, Watcher
from isthmus.apiserver.writing import (
    APPLY_PATCH,
    IGNORE,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    STRICT,
    WARN,
    Write,
    Writing,
    Written,
)
from isthmus.kit.http import Request, Response, Stream, answer, open_stream, read_body

_encode = msgspec.json.Encoder().encode
MAX_MANAGER = 128
OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
# Reads of a subresource show the object itself, apart from these.
WITHOUT_GET = frozenset({"attach", "binding", "eviction", "exec", "finalize", "log", "portforward", "token"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a resource: where it points, who sent it."""

    request: Request
    kind: Kind
    at: ResourcePath
    user: User

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters."""
        return self.request.query

    @property
    def form(self) -> Form:
        """How the answer should look. Raises Refused (406)."""
        return negotiate(self.request.headers.get("Accept", ""))

    @property
    def key(self) -> tuple[str, str]:
        """Where the object is kept."""
        return (self.at.namespace, self.at.name)

    @property
    def content_type(self) -> str:
        """That of the body."""
        return self.request.headers.get("Content-Type", "")

    async def body(self) -> bytes:
        """The request's body. Raises Refused (413)."""
        body = await read_body(self.request, MAX_BODY)
        if body is None:
            raise too_large(MAX_BODY)
        return body

    def write(self) -> Write:
        """The write that the query describes. Raises Refused (400)."""
        query, options = self.query, OPTIONS.get(self.request.method, "UpdateOptions")
        dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation") or WARN
        if dry_run not in {"", "All"}:
            raise unsupported_option(options, "dryRun", [dry_run], ["All"])
        if validation not in {STRICT, WARN, IGNORE}:
            raise unsupported_option(options, "fieldValidation", validation, ["", IGNORE, STRICT, WARN])
        manager = query.get("fieldManager", "")
        if len(manager) > MAX_MANAGER:
            told = f"Invalid value: {_encode(manager).decode()}: may not be more than {MAX_MANAGER} bytes"
            raise invalid_options(options, "fieldManager", "FieldValueInvalid", told)
        if self.content_type.partition(";")[0] != APPLY_PATCH:
            manager = manager or _program(self.request.headers.get("User-Agent", ""))
        at = self.at
        force = flag(query, "force")
        return Write(self.kind, at.namespace, at.name, at.subresource, manager, bool(dry_run), validation, force)


def _program(user_agent: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "", user_agent.partition("/")[0])[:MAX_MANAGER] or "unknown"


class Verbs:
    """Everything that can be done to a resource."""

    def __init__(
        self, cluster: Cluster, writing: Writing, deleting: Deleting, reviews: Reviews, node: Path | None
    ) -> None:
        self._cluster = cluster
        self._writing = writing
        self._deleting = deleting
        self._reviews = reviews
        self._node = node

    async def answer(self, call: Call) -> Stream:
        """Do what `call` asks for. Raises APIError for everything that cannot be done."""
        if call.at.subresource:
            return await self._subresource(call)
        if call.at.name:
            return await self._object(call)
        return await self._collection(call)

    async def _collection(self, call: Call) -> Stream:
        kind, method = call.kind, call.request.method
        _check_verb(kind, {"GET": "list", "POST": "create", "DELETE": "deletecollection"}.get(method, ""))
        homeless = kind.namespaced and not call.at.namespace
        if homeless and method != "GET" and kind.verbs != ("create",):
            raise method_not_allowed()
        if method == "POST":
            return await self._create(call)
        if method == "DELETE":
            return await self._delete_collection(call)
        if flag(call.query, "watch"):
            return await self._watch(call)
        return self._list(call)

    async def _object(self, call: Call) -> Stream:
        method = call.request.method
        _check_verb(call.kind, {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, ""))
        if method == "GET":
            if flag(call.query, "watch"):
                return await self._watch(call)
            record = reading.get(self._cluster.collection(call.kind), call.kind, call.key)
            presenter = self._presenter(call)
            return answer(200, presenter.one(record), presenter.form.content_type)
        if method == "PUT":
            body = await call.body()
            return self._written(call, self._writing.update(call.write(), read_manifest(body, call.content_type)))
        if method == "PATCH":
            body = await call.body()
            return self._written(call, self._writing.patch(call.write(), call.content_type, body))
        return await self._delete(call)

    async def _create(self, call: Call) -> Stream:
        sent = read_manifest(await call.body(), call.content_type)
        if call.kind.verbs == ("create",):
            return answer(201, _encode(self._reviews.answer(call.kind, sent, call.user)), JSON)
        return self._written(call, self._writing.create(call.write(), sent))

    def _list(self, call: Call) -> Response:
        selection = Selection.parse(call.kind, call.at.namespace, call.query)
        page = reading.list_page(self._cluster.storage, call.kind, selection, call.query)
        presenter = self._presenter(call)
        return answer(200, presenter.many(page.records, page.metadata), presenter.form.content_type)

    async def _watch(self, call: Call) -> Stream:
        query = dict(call.query)
        if call.at.name:
            named = f"metadata.name={call.at.name}"
            query["fieldSelector"] = ",".join(filter(None, (query.get("fieldSelector", ""), named)))
        selection = Selection.parse(call.kind, call.at.namespace, query)
        presenter = self._presenter(call)
        watcher = Watcher(
            self._cluster.storage, self._cluster.collection(call.kind), selection, presenter, Watch.parse(query)
        )
        watcher.check()
        stream = await open_stream(call.request, presenter.form.content_type)
        async for chunk in watcher.lines(self._cluster.clock):
            await stream.write(chunk)
        await stream.write_eof()
        return stream

    async def _delete(self, call: Call) -> Stream:
        options = DeleteOptions.parse(call.query, await call.body(), _json_or_yaml(call.content_type))
        deleted = self._deleting.delete(call.kind, call.key, options)
        if deleted.gone and not call.kind.returns_deleted:
            details = details_of(call.kind, call.at.name) | {"uid": deleted.record.uid}
            return answer(200, _encode(SUCCESS | {"details": details}), JSON)
        presenter = self._presenter(call)
        return answer(200, presenter.one(deleted.record), presenter.form.content_type)

    async def _delete_collection(self, call: Call) -> Stream:
        body = await call.body()
        options = DeleteOptions.parse(call.query, body, _json_or_yaml(call.content_type))
        selection = Selection.parse(call.kind, call.at.namespace, call.query)
        page = reading.list_page(self._cluster.storage, call.kind, selection, call.query)
        self._deleting.delete_all(call.kind, page.records, options)
        presenter = self._presenter(call)
        return answer(200, presenter.many(page.records, page.metadata), presenter.form.content_type)

    async def _subresource(self, call: Call) -> Stream:
        kind, name, method = call.kind, call.at.subresource, call.request.method
        if name not in kind.subresources:
            raise no_such_path()
        if name in kubelet.FORWARDED:
            record = reading.get(self._cluster.collection(kind), kind, call.key)
            return await kubelet.pass_on(call.request, self._node, record.manifest(), name)
        if name == "scale":
            return await self._scale(call)
        if name == "token" and method == "POST":
            sent = read_manifest(await call.body(), call.content_type)
            return answer(201, _encode(self._reviews.token(call.key, sent)), JSON)
        if name == "eviction" and method == "POST":
            return await self._evict(call)
        if name == "binding" and method == "POST":
            return await self._bind(call)
        if name in {"status", "finalize", "ephemeralcontainers"} and (method != "GET" or name not in WITHOUT_GET):
            return await self._object(call)
        raise method_not_allowed()

    async def _scale(self, call: Call) -> Stream:
        kind, method = call.kind, call.request.method
        record = reading.get(self._cluster.collection(kind), kind, call.key)
        manifest = record.manifest()
        if method == "GET":
            return answer(200, _encode(scale.scale_of(kind, manifest)), JSON)
        body = await call.body()
        shown = scale.scale_of(kind, manifest)
        if method == "PUT":
            wanted = read_manifest(body, call.content_type)
        elif method == "PATCH":
            wanted = self._patched_scale(call, shown, body)
        else:
            raise method_not_allowed()
        written = self._writing.update(call.write(), scale.scaled(kind, manifest, wanted))
        return answer(200, _encode(scale.scale_of(kind, written.record.manifest())), JSON)

    def _patched_scale(self, call: Call, shown: Manifest, body: bytes) -> Manifest:
        media_type = call.content_type.partition(";")[0].strip()
        if media_type == JSON_PATCH:
            return patch.json_patch(shown, read_json(body))
        if media_type in {MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH}:
            return patch.merge_patch(shown, read_manifest(body, ""))
        raise unsupported_media_type((JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH))

    async def _evict(self, call: Call) -> Stream:
        sent = read_manifest(await call.body(), call.content_type)
        given = sent.get("deleteOptions") or {}
        options = DeleteOptions.parse(call.query, _encode(given) if given else b"", JSON)
        self._deleting.delete(call.kind, call.key, options)
        return answer(201, _encode(SUCCESS | {"code": 201}), JSON)

    async def _bind(self, call: Call) -> Stream:
        sent = read_manifest(await call.body(), call.content_type)
        pod = reading.get(self._cluster.collection(call.kind), call.kind, call.key).manifest()
        node = str((sent.get("target") or {}).get("name", ""))
        if not node:
            raise bad_request("target.name: Required value")
        if pod["spec"].get("nodeName"):
            raise conflict(call.kind, call.at.name, f"pod {call.at.name} is already assigned to node {node}")
        pod["spec"]["nodeName"] = node
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        scheduled["lastTransitionTime"] = timestamp(self._cluster.now())
        pod.setdefault("status", {}).setdefault("conditions", []).append(scheduled)
        # As on the real server: past the rules for pods, which keep everyone else from this field.
        if not call.write().dry_run:
            self._cluster.storage.put(self._cluster.collection(call.kind), call.key, pod)
        return answer(201, _encode(SUCCESS | {"code": 201}), JSON)

    def _presenter(self, call: Call) -> Presenter:
        return Presenter(call.kind, call.form, self._cluster.clock.now(), call.query.get("includeObject") or "Metadata")

    def _written(self, call: Call, written: Written) -> Response:
        presenter = self._presenter(call)
        headers = {}
        if written.warnings:
            headers["Warning"] = ", ".join(map(_warning, written.warnings))
        return answer(written.code, presenter.one(written.record), presenter.form.content_type, headers)


def _check_verb(kind: Kind, verb: str) -> None:
    if verb not in kind.verbs:
        raise method_not_allowed()


def _json_or_yaml(content_type: str) -> str:
    return content_type if content_type.strip() else JSON


def _warning(text: str) -> str:
    printable = "".join(letter for letter in text if letter.isprintable()).encode("ascii", "replace").decode()
    return '299 - "' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
