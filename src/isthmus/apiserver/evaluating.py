"""A policy, compiled, and the values that its expressions are given for one write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from isthmus.api.scheme import Manifest
from isthmus.apiserver import conversion
from isthmus.apiserver.authentication import AUTHENTICATED, SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNTS, User
from isthmus.apiserver.authorization import Attributes, Authorizer
from isthmus.apiserver.cel.admission import BOOLEAN, TEXT, TEXT_OR_NULL, Misfit, PolicyCompiler
from isthmus.apiserver.cel.engine import BadExpression, Program
from isthmus.apiserver.cluster import NAMESPACES, Cluster
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.matching import Attempt, Matcher

# A program, or why there is none: kept from a time when the rules were others.
Compiled = Program | str


@dataclass(frozen=True, slots=True)
class Check:
    """One of a policy's validations."""

    holds: Compiled
    says: Compiled | None
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, ready to be asked."""

    spec: Manifest
    fails: bool
    matcher: Matcher
    variables: Mapping[str, Program]
    conditions: tuple[Compiled, ...]
    validations: tuple[Check, ...]
    annotations: tuple[Compiled, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> "Policy":
        """Compile everything it holds."""
        spec: Manifest = manifest.get("spec") or {}
        compiler = PolicyCompiler(has_params=bool(spec.get("paramKind")))
        variables = {
            each["name"]: _tried(compiler.variable, each["name"], each["expression"])
            for each in spec.get("variables") or ()
        }
        conditions = [
            _tried(compiler.expression, each["expression"], BOOLEAN) for each in spec.get("matchConditions") or ()
        ]
        return cls(
            spec,
            spec.get("failurePolicy") != "Ignore",
            Matcher.of(spec.get("matchConstraints")),
            {name: program for name, program in variables.items() if isinstance(program, Program)},
            tuple(conditions),
            tuple(_check(compiler, each) for each in spec.get("validations") or ()),
            tuple(
                _tried(compiler.expression, each["valueExpression"], TEXT_OR_NULL)
                for each in spec.get("auditAnnotations") or ()
            ),
        )


def _check(compiler: PolicyCompiler, validation: Manifest) -> Check:
    says = None
    if validation.get("messageExpression"):
        says = _tried(
            lambda text, wanted: compiler.expression(text, wanted, rights=False), validation["messageExpression"], TEXT
        )
    return Check(_tried(compiler.expression, validation["expression"], BOOLEAN), says, validation)


def _tried(compile_one: Callable[..., Program], *about: object) -> Compiled:
    try:
        return compile_one(*about)
    except (BadExpression, Misfit) as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class Rights:
    """Answers what expressions ask about rights, of the author of a write or a service account."""

    user: User
    authorizer: Authorizer

    def allows(self, question: Mapping[str, str], verb: str) -> tuple[bool, str]:
        """Whether it is allowed, and why."""
        user, namespace = self.user, question.get("account namespace")
        if namespace:
            groups = (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}", AUTHENTICATED)
            user = User(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{question['account name']}", groups)
        if "path" in question:
            asked = Attributes(user, verb, path=question["path"])
        else:
            place = (question.get(part, "") for part in ("resource", "subresource", "namespace", "name"))
            asked = Attributes(user, verb, question["group"], question.get("version", "*"), *place)
        decision = self.authorizer.authorize(asked)
        return decision.allowed, decision.reason


def values_of(attempt: Attempt, kind: Kind, cluster: Cluster) -> dict[str, object]:
    """What the expressions of a policy that looks at the write as one of `kind` may use."""
    question = {
        "@": "ResourceCheck",
        "group": attempt.kind.group,
        "version": attempt.kind.version,
        "resource": attempt.kind.plural,
        "subresource": attempt.subresource,
        "namespace": attempt.namespace,
        "name": attempt.name,
    }
    return {
        "object": _shown(attempt.obj, attempt, kind),
        "oldObject": _shown(attempt.old, attempt, kind),
        "request": _request(attempt, kind),
        "namespaceObject": _namespace(attempt, cluster),
        "authorizer": {"@": "Authorizer", "requestResource": question},
    }


def _shown(obj: Manifest | None, attempt: Attempt, kind: Kind) -> Manifest | None:
    """The object in the version that the policy looks at."""
    if obj is None or attempt.shown_kind is not None or obj.get("apiVersion") == kind.api_version:
        return obj
    return conversion.served(_copy(obj), kind)


def _copy(value: Manifest) -> Manifest:
    return {key: _copy(each) if isinstance(each, dict) else each for key, each in value.items()}


def _request(attempt: Attempt, kind: Kind) -> Manifest:
    own = attempt.kind
    request: Manifest = {
        "kind": _kind(attempt, kind),
        "resource": {"group": kind.group, "version": kind.version, "resource": kind.plural},
        "requestKind": _kind(attempt, own),
        "requestResource": {"group": own.group, "version": own.version, "resource": own.plural},
        "operation": attempt.operation,
        "userInfo": attempt.user.info(),
        "dryRun": attempt.dry_run,
        "options": dict(attempt.options),
        "name": attempt.name,
        "namespace": attempt.namespace,
        "subResource": attempt.subresource,
        "requestSubResource": attempt.subresource,
    }
    left_out = ("name", "namespace", "subResource", "requestSubResource")
    return {part: value for part, value in request.items() if value or part not in left_out}


def _kind(attempt: Attempt, kind: Kind) -> Manifest:
    group, version, name = attempt.shown_kind or (kind.group, kind.version, kind.kind)
    return {"group": group, "version": version, "kind": name}


def _namespace(attempt: Attempt, cluster: Cluster) -> Manifest | None:
    if not attempt.namespace or attempt.kind.collection == NAMESPACES:
        return None
    found = cluster.find(NAMESPACES, attempt.namespace)
    if found is None:
        return None
    manifest = found.manifest()
    for own in ("managedFields", "ownerReferences", "selfLink"):
        manifest["metadata"].pop(own, None)
    return manifest
