"""Questions about callers: who am I, may I, may they, whose token is this. Answered, and never kept."""

import json
from collections.abc import Iterator
from dataclasses import replace

from isthmus.api.scheme import Manifest
from isthmus.apiserver import managedfields
from isthmus.apiserver.agreement import check_namespace, check_type
from isthmus.apiserver.authentication import ISSUER, Tokens, Untrusted, User
from isthmus.apiserver.authorization import Attributes, Authorizer, joined
from isthmus.apiserver.builtin import builtin_schema, canonical
from isthmus.apiserver.causes import wrong
from isthmus.apiserver.cluster import Cluster, timestamp
from isthmus.apiserver.grants import Grants
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.managedfields import Writer
from isthmus.apiserver.rbac import ALL, Rule
from isthmus.apiserver.schema import Cause, Schema, invalid, prune
from isthmus.apiserver.status import bad_request
from isthmus.apiserver.tokens import GROUP as TOKEN_GROUP
from isthmus.apiserver.tokens import HOUR, TokenRequests
from isthmus.apiserver.writing import Write

INVALID_TOKEN = "invalid bearer token"  # noqa: S105  # what is said of one
AUTHORIZATION = "authorization.k8s.io"


class Reviews:
    """Answers the review kinds."""

    def __init__(self, cluster: Cluster, tokens: Tokens, grants: Grants, authorizer: Authorizer) -> None:
        self._cluster = cluster
        self._tokens = tokens
        self._requests = TokenRequests(cluster, tokens)
        self._grants = grants
        self._authorizer = authorizer

    def answer(self, write: Write, sent: Manifest) -> Manifest:
        """The review, answered. Raises Refused for questions that cannot be."""
        kind = write.kind
        check_type(kind, sent)
        _read(sent, kind.schema)
        metadata = sent.setdefault("metadata", {})
        if kind.namespaced:
            check_namespace(write.namespace, metadata)
            metadata["namespace"] = write.namespace
        spec = sent.get("spec") or {}
        sent = managedfields.track(None, sent, kind.schema, Writer(write.manager, self._cluster.now(), has_status=True))
        metadata = sent["metadata"]
        about: Manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
        match kind.kind:
            case "SelfSubjectReview":
                del about["spec"]
                about["metadata"] = {"creationTimestamp": timestamp(self._cluster.now())}
                return about | {"status": {"userInfo": write.user.info()}}
            case "TokenReview":
                return about | {"status": self._token_status(spec)}
            case "SelfSubjectRulesReview":
                return about | {"metadata": {}, "spec": {}, "status": self._rules(write.user, spec)}
            case _:
                return about | {"status": self._access(write, spec, metadata)}

    def token(self, write: Write, sent: Manifest) -> Manifest:
        """A TokenRequest for a service account, answered. Raises NotFound, Conflict, Refused."""
        kind = replace(write.kind, group=TOKEN_GROUP, kind="TokenRequest", custom=False)
        check_type(kind, sent)
        schema = builtin_schema(TOKEN_GROUP, "v1", "TokenRequest")
        _read(sent, schema)
        check_namespace(write.namespace, sent.setdefault("metadata", {}))
        sent.setdefault("spec", {}).setdefault("expirationSeconds", HOUR)
        writer = Writer(write.manager, self._cluster.now(), write.subresource)
        return self._requests.answer(write.key, managedfields.track(None, sent, schema, writer))

    def _token_status(self, spec: Manifest) -> Manifest:
        token = str(spec.get("token") or "")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        try:
            user, audiences = self._tokens.look_at(token, spec.get("audiences") or [ISSUER])
        except Untrusted as error:
            return {"user": {}, "error": joined([INVALID_TOKEN, *filter(None, [str(error)])])}
        return {"authenticated": True, "user": user.info(), "audiences": audiences}

    def _rules(self, user: User, spec: Manifest) -> Manifest:
        namespace = str(spec.get("namespace") or "")
        if not namespace:
            raise bad_request("no namespace on request")
        rules, lost = self._grants.rules_of(user, namespace)
        told: Manifest = {
            "resourceRules": [_shown(rule) for rule in rules if rule.resources],
            "nonResourceRules": [_shown(rule) for rule in rules if rule.urls],
            "incomplete": False,
        }
        return told | ({"evaluationError": joined(lost)} if lost else {})

    def _access(self, write: Write, spec: Manifest, metadata: Manifest) -> Manifest:
        kind = write.kind
        own = kind.kind == "SelfSubjectAccessReview"
        faults = [*_spec_faults(spec, own=own), *_scope_faults(kind, spec, metadata)]
        if faults:
            raise invalid("", AUTHORIZATION, "", faults)
        user = write.user if own else User(spec.get("user") or "", tuple(spec.get("groups") or ()))
        decision = self._authorizer.authorize(_question(user, spec))
        return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})


def _read(sent: Manifest, schema: Schema | None) -> None:
    if schema is not None:
        prune(sent, schema)
        canonical(sent, schema)


def _question(user: User, spec: Manifest) -> Attributes:
    about = spec.get("resourceAttributes")
    if about is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, path.get("verb", ""), path=path.get("path", ""))
    return Attributes(
        user,
        about.get("verb", ""),
        about.get("group", ""),
        about.get("version") or ALL,
        about.get("resource", ""),
        about.get("subresource", ""),
        about.get("namespace", ""),
        about.get("name", ""),
    )


def _spec_faults(spec: Manifest, *, own: bool) -> Iterator[Cause]:
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if about is not None and path is not None:
        yield wrong(
            "spec.nonResourceAttributes", _as_go(path), "cannot be specified in combination with resourceAttributes"
        )
    if about is None and path is None:
        told = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield wrong("spec.resourceAttributes", None, told)
    if not own and not spec.get("user") and not spec.get("groups"):
        yield wrong("spec.user", "", "at least one of user or group must be specified")


def _scope_faults(kind: Kind, spec: Manifest, metadata: Manifest) -> Iterator[Cause]:
    extra = {key for key in metadata if key not in {"managedFields", "namespace" if kind.namespaced else ""}}
    if extra:
        told = "must be empty except for namespace" if kind.namespaced else "must be empty"
        shown = json.dumps(metadata, separators=(",", ":"))
        yield Cause("metadata", "FieldValueInvalid", f"Invalid value: {shown}: {told}")
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if not kind.namespaced:
        return
    if about is not None and about.get("namespace", "") != metadata.get("namespace", ""):
        yield wrong("spec.resourceAttributes.namespace", about.get("namespace", ""), "must match metadata.namespace")
    if path is not None:
        yield wrong("spec.nonResourceAttributes", _as_go(path), "disallowed on this kind of request")


def _as_go(path: Manifest) -> Manifest:
    return {name.capitalize(): path.get(name, "") for name in ("path", "verb")}


def _shown(rule: Rule) -> Manifest:
    told = {
        "verbs": rule.verbs,
        "apiGroups": rule.groups,
        "resources": rule.resources,
        "resourceNames": rule.names,
        "nonResourceURLs": rule.urls,
    }
    return {key: list(values) for key, values in told.items() if values}
