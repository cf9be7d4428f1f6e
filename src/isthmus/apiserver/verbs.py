"""The verbs on resources: from a request that names a kind to the answer's bytes."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver import kubelet, patch, reading, scale
from isthmus.apiserver.agreement import check_name, check_type
from isthmus.apiserver.authentication import User
from isthmus.apiserver.authorization import Attributes
from isthmus.apiserver.call import JSON, MAX_BODY, TABLE, YAML, Form, flag, negotiate, read_json, read_manifest
from isthmus.apiserver.call import Path as ResourcePath
from isthmus.apiserver.cluster import Cluster, timestamp
from isthmus.apiserver.deleting import DeleteOptions, Deleting
from isthmus.apiserver.duplicates import repeated_in_json, repeated_in_yaml
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.matching import CONNECT, CREATE, Attempt
from isthmus.apiserver.presenting import Presenter
from isthmus.apiserver.reading import Selection
from isthmus.apiserver.reviews import Reviews
from isthmus.apiserver.status import (
    SUCCESS,
    bad_request,
    conflict,
    details_of,
    forbidden,
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
from isthmus.errors import ServerFault
from isthmus.kit.http import Request, Response, Stream, answer, open_stream, read_body

_encode = msgspec.json.Encoder().encode
MAX_MANAGER = 128
SCALE = Kind(*scale.KIND, "scales", "scale", namespaced=True)
OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
# Reads of a subresource show the object itself, apart from these.
WITHOUT_GET = frozenset({"attach", "binding", "eviction", "exec", "finalize", "log", "portforward", "token"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a resource: where it points, who sent it."""

    request: Request
    kind: Kind
    at: ResourcePath
    asked: Attributes

    @property
    def user(self) -> User:
        """Who sent it."""
        return self.asked.user

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

    def write(self, body: bytes = b"", sent: Manifest | None = None) -> Write:
        """The write that the query describes, of an object that was `sent`. Raises Refused (400)."""
        query, options = self.query, OPTIONS.get(self.request.method, "UpdateOptions")
        dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation") or WARN
        if "dryRun" in query and dry_run != "All":
            raise unsupported_option(options, "dryRun", [dry_run], ["All"])
        if validation not in {STRICT, WARN, IGNORE}:
            raise unsupported_option(options, "fieldValidation", validation, ["", IGNORE, STRICT, WARN])
        manager = query.get("fieldManager", "")
        if len(manager) > MAX_MANAGER:
            told = f"Too long: may not be more than {MAX_MANAGER} bytes"
            raise invalid_options(options, "fieldManager", "FieldValueTooLong", told)
        for index, letter in enumerate(manager):
            if not letter.isprintable():
                shown = f"{json.dumps(manager)}: invalid character U+{ord(letter):04X} (at position {index})"
                raise invalid_options(options, "fieldManager", "FieldValueInvalid", f"Invalid value: {shown}")
        if self.content_type.partition(";")[0] != APPLY_PATCH:
            if options == "PatchOptions" and "force" in query:
                told = "Forbidden: may not be specified for non-apply patch"
                raise invalid_options(options, "force", "FieldValueForbidden", told)
            manager = manager or _program(self.request.headers.get("User-Agent", ""))
        at = self.at
        force = flag(query, "force")
        write = Write(self.kind, at.namespace, at.name, at.subresource, manager, bool(dry_run), validation, force)
        repeated = _repeated(body, sent, self.content_type) if sent and validation != IGNORE else []
        return replace(write, user=self.user, repeated=tuple(repeated))


def _repeated(body: bytes, sent: Manifest, content_type: str) -> list[str]:
    media_type = content_type.partition(";")[0].strip()
    if media_type == YAML:
        return repeated_in_yaml(body)
    return repeated_in_json(body, sent) if media_type in {"", JSON} else []


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
        # As it was authorised: one who may watch may not list by spelling it strangely.
        if call.asked.verb == "watch":
            return await self._watch(call)
        return self._list(call)

    async def _object(self, call: Call) -> Stream:
        method = call.request.method
        _check_verb(call.kind, {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, ""))
        if method == "GET":
            record = reading.get_at(self._cluster.storage, call.kind, call.key, call.query)
            presenter = self._presenter(call)
            return answer(200, presenter.one(record), presenter.form.content_type)
        if method == "PUT":
            body = await call.body()
            sent = read_manifest(body, call.content_type)
            return self._written(call, self._writing.update(call.write(body, sent), sent))
        if method == "PATCH":
            body = await call.body()
            return self._written(call, self._writing.patch(call.write(), call.content_type, body))
        return await self._delete(call)

    async def _create(self, call: Call) -> Stream:
        body = await call.body()
        sent = read_manifest(body, call.content_type)
        if call.kind.verbs == ("create",):
            return answer(201, _encode(self._reviews.answer(call.write(), sent)), JSON)
        return self._written(call, self._writing.create(call.write(body, sent), sent))

    def _list(self, call: Call) -> Response:
        selection = Selection.parse(call.kind, call.at.namespace, call.query)
        page = reading.list_page(self._cluster.storage, call.kind, selection, call.query)
        presenter = self._presenter(call)
        return answer(200, presenter.many(page.records, page.metadata), presenter.form.content_type)

    async def _watch(self, call: Call) -> Stream:
        selection = Selection.parse(call.kind, call.at.namespace, call.query)
        presenter = self._presenter(call)
        watcher = Watcher(
            self._cluster.storage, self._cluster.collection(call.kind), selection, presenter, Watch.parse(call.query)
        )
        stream = await open_stream(call.request, presenter.form.media_type)
        async for chunk in watcher.lines(self._cluster.clock):
            await stream.write(chunk)
        await stream.write_eof()
        return stream

    async def _delete(self, call: Call) -> Stream:
        options = DeleteOptions.parse(call.query, await call.body(), _json_or_yaml(call.content_type))
        deleted = self._deleting.delete(call.kind, call.key, replace(options, user=call.user))
        headers = warned(deleted.warnings)
        if deleted.gone and not call.kind.returns_deleted:
            details = details_of(call.kind, call.at.name) | {"uid": deleted.record.uid}
            return answer(200, _encode(SUCCESS | {"details": details}), JSON, headers)
        presenter = self._presenter(call)
        return answer(200, presenter.one(deleted.record), presenter.form.content_type, headers)

    async def _delete_collection(self, call: Call) -> Stream:
        body = await call.body()
        options = DeleteOptions.parse(call.query, body, _json_or_yaml(call.content_type))
        selection = Selection.parse(call.kind, call.at.namespace, call.query)
        page = reading.list_page(self._cluster.storage, call.kind, selection, call.query)
        self._deleting.delete_all(call.kind, page.records, replace(options, user=call.user))
        presenter = self._presenter(call)
        return answer(200, presenter.many(page.records, page.metadata), presenter.form.content_type)

    async def _subresource(self, call: Call) -> Stream:
        kind, name, method = call.kind, call.at.subresource, call.request.method
        if name not in kind.subresources:
            raise no_such_path()
        if name in kubelet.FORWARDED:
            if name != "log":
                self._check_may_enter(call)
            record = reading.get(self._cluster.collection(kind), kind, call.key)
            if name != "log":
                self._admit(call, CONNECT, kubelet.options_of(call.query, name))
            return await kubelet.pass_on(call.request, self._node, record.manifest(), name)
        if name == "scale":
            return await self._scale(call)
        if name == "token" and method == "POST":
            sent = read_manifest(await call.body(), call.content_type)
            self._admit(call, CREATE, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"} | sent)
            return answer(201, _encode(self._reviews.token(call.write(), sent)), JSON)
        if name == "eviction" and method == "POST":
            return await self._evict(call)
        if name == "binding" and method == "POST":
            return await self._bind(call)
        forbidden = method == "DELETE" or (method == "GET" and name in WITHOUT_GET)
        if name in {"status", "finalize", "ephemeralcontainers"} and not forbidden:
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
            check_type(SCALE, wanted)
            check_name(call.at.name, wanted.get("metadata") or {})
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
        self._admit(call, CREATE, {"apiVersion": "policy/v1", "kind": "Eviction"} | sent)
        if str((sent.get("metadata") or {}).get("name", "")) not in {"", call.at.name}:
            raise bad_request("name in URL does not match name in Eviction object")
        given = sent.get("deleteOptions") or {}
        options = DeleteOptions.parse(call.query, _encode(given) if given else b"", JSON)
        self._deleting.delete(call.kind, call.key, options)
        return answer(201, _encode(SUCCESS | {"code": 201}), JSON)

    async def _bind(self, call: Call) -> Stream:
        sent = read_manifest(await call.body(), call.content_type)
        pod = reading.get(self._cluster.collection(call.kind), call.kind, call.key).manifest()
        node = str((sent.get("target") or {}).get("name", ""))
        if str((sent.get("metadata") or {}).get("name", "")) not in {"", call.at.name}:
            raise bad_request("name in URL does not match name in Binding object")
        if not node:
            raise ServerFault(code=500, reason="", message="target.name: Required value")
        self._admit(call, CREATE, {"apiVersion": "v1", "kind": "Binding"} | sent)
        if pod["spec"].get("nodeName"):
            why = f'pod {call.at.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict(replace(call.kind, plural="pods/binding"), call.at.name, why)
        pod["spec"]["nodeName"] = node
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        scheduled["lastTransitionTime"] = timestamp(self._cluster.now())
        pod.setdefault("status", {}).setdefault("conditions", []).append(scheduled)
        # As on the real server: past the rules for pods, which keep everyone else from this field.
        if not call.write().dry_run:
            self._cluster.storage.put(self._cluster.collection(call.kind), call.key, pod)
        return answer(201, _encode(SUCCESS | {"code": 201}), JSON)

    def _check_may_enter(self, call: Call) -> None:
        """Raise Refused (403) for who may only read: a WebSocket opens with a GET, and lets do everything."""
        decision = self._writing.authorizer.authorize(replace(call.asked, verb="create"))
        if not decision.allowed:
            raise forbidden(call.kind, call.at.name, decision.reason)

    def _admit(self, call: Call, operation: str, sent: Manifest) -> None:
        """Put a request that writes no object of its own before the policies. Raises Refused."""
        at = call.at
        group, _, version = str(sent["apiVersion"]).rpartition("/")
        shown_kind = (group, version, str(sent["kind"]))
        about = (call.kind, operation, call.user, at.namespace, at.name, at.subresource)
        self._writing.policies.admit(Attempt(*about, obj=sent, shown_kind=shown_kind))

    def _presenter(self, call: Call) -> Presenter:
        include = call.query.get("includeObject") or "Metadata"
        if call.form.shape == TABLE and include not in {"Metadata", "Object", "None"}:
            told = (
                f"includeObject: Invalid value: {json.dumps(include)}: must be 'Metadata', 'Object', 'None', or empty"
            )
            raise bad_request(f"Unable to convert to Table as requested: {told}")
        return Presenter(call.kind, call.form, self._cluster.clock.now(), include)

    def _written(self, call: Call, written: Written) -> Response:
        presenter = self._presenter(call)
        is_idle = call.kind.inert and written.code == 201
        headers = warned([*written.warnings, *((call.kind.inert_warning,) if is_idle else ())])
        return answer(written.code, presenter.one(written.record), presenter.form.content_type, headers)


def _check_verb(kind: Kind, verb: str) -> None:
    if verb not in kind.verbs:
        raise method_not_allowed()


def _json_or_yaml(content_type: str) -> str:
    return content_type if content_type.strip() else JSON


def warned(warnings: Sequence[str]) -> dict[str, str]:
    """The header that tells a caller what to heed, in answers of success and of failure."""
    return {"Warning": ", ".join(map(warning_of, warnings))} if warnings else {}


def warning_of(text: str) -> str:
    """A warning as the header Warning carries it."""
    printable = "".join(letter for letter in text if letter.isprintable()).encode("ascii", "replace").decode()
    return '299 - "' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
