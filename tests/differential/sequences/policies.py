"""ValidatingAdmissionPolicies: which writes they see, what they say, and how they are refused themselves."""

from isthmus.api.scheme import Manifest
from tests.differential.sequences.rules import TYPES, WORDS
from tests.differential.steps import (
    HOME,
    MAPS,
    PODS,
    Sequence,
    Step,
    apply,
    delete,
    get,
    labelled,
    named,
    patch,
    pod,
    post,
    put,
    sequence,
    workload,
)

VERSION = "admissionregistration.k8s.io/v1"
POLICIES = f"/apis/{VERSION}/validatingadmissionpolicies"
BINDINGS = f"/apis/{VERSION}/validatingadmissionpolicybindings"
HERE = {"matchLabels": {"kubernetes.io/metadata.name": "${ns}"}}
MAPS_RULE = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE", "DELETE"],
    "resources": ["configmaps"],
}
DRY = f"{MAPS}?dryRun=All"


def policy(name: str, *validations: Manifest, rules: list[Manifest] | None = None, **spec: object) -> Manifest:
    """A policy for one sequence's namespace."""
    constraints = {"resourceRules": rules or [MAPS_RULE], "namespaceSelector": HERE, **spec.pop("constraints", {})}  # type: ignore[dict-item]  # a mapping
    whole = {"matchConstraints": constraints, "validations": list(validations), **spec}
    return named(f"{name}.${{ns}}", "ValidatingAdmissionPolicy", VERSION, spec=whole)


def binding(name: str, *actions: str, **spec: object) -> Manifest:
    """A binding of the policy of that name."""
    whole = {"policyName": f"{name}.${{ns}}", "validationActions": list(actions or ("Deny",)), **spec}
    return named(f"{name}.${{ns}}", "ValidatingAdmissionPolicyBinding", VERSION, spec=whole)


def check(expression: str, **more: str) -> Manifest:
    """A validation."""
    return {"expression": expression, **more}


def in_force(*made: Manifest) -> tuple[Step, ...]:
    """Make policies and bindings, and wait until the last of them is heeded: policies take effect within a second."""
    canary = policy("canary", check("object == null || object.metadata.name != 'canary'"))
    steps = [post(BINDINGS if each["kind"].endswith("Binding") else POLICIES, each, unseen=True) for each in made]
    return (
        *steps,
        post(POLICIES, canary, unseen=True),
        post(BINDINGS, binding("canary"), unseen=True),
        post(DRY, named("canary"), until=422, unseen=True),
    )


SEQUENCES: tuple[Sequence, ...] = (
    sequence(
        "policies deny",
        *in_force(
            policy(
                "p",
                check("object == null || !has(object.data) || size(object.data) < 3", message="too much data"),
                check("object == null || object.metadata.name != 'b'", reason="Forbidden"),
                check(
                    "object == null || object.metadata.name != 'c'",
                    messageExpression="'name is ' + object.metadata.name",
                    reason="RequestEntityTooLarge",
                ),
                check("object == null || object.metadata.name != 'd'", messageExpression="''", message="said"),
                check("object == null || object.metadata.name != 'e' || object.data.missing == 'x'"),
                check("request.operation != 'DELETE' || oldObject.metadata.name != 'keep'", message="stays"),
                check("request.operation != 'UPDATE' || object.?data == oldObject.?data", message="data is immutable"),
            ),
            binding("p"),
        ),
        post(MAPS, named("a", data={"a": "1", "b": "2", "c": "3"})),
        post(MAPS, named("a", data={"a": "1"})),
        post(MAPS, named("b")),
        post(DRY, named("b")),
        post(MAPS, named("c")),
        post(MAPS, named("d")),
        post(MAPS, named("e")),
        post(MAPS, named("a", data={"a": "1", "b": "2", "c": "3"})),
        put(f"{MAPS}/a", named("a", data={"a": "2"})),
        patch(f"{MAPS}/a", {"data": {"a": "2"}}),
        patch(f"{MAPS}/a", {"metadata": {"labels": {"x": "y"}}}),
        apply(f"{MAPS}/a", named("a", data={"b": "2"})),
        apply(f"{MAPS}/b", named("b")),
        post(MAPS, named("keep")),
        delete(f"{MAPS}/keep"),
        delete(f"{MAPS}/keep?dryRun=All"),
        delete(f"{MAPS}/a"),
        delete(f"{MAPS}/a"),
        delete(f"{MAPS}?fieldSelector=metadata.name=keep"),
        get(f"{MAPS}/keep"),
    ),
    sequence(
        "policies warn",
        *in_force(
            policy("w", check("object == null", message="never"), check("object == null || object.x == 1")),
            binding("w", "Warn", "Audit"),
            policy("v", check("object != null", message="gone")),
            binding("v", "Warn"),
        ),
        post(MAPS, named("a")),
        post(f"{MAPS}?dryRun=All", named("b")),
        put(f"{MAPS}/a", named("a", data={"a": "b"})),
        delete(f"{MAPS}/a"),
    ),
    sequence(
        "policies select",
        *in_force(
            policy(
                "labels",
                check("false", message="labelled"),
                constraints={"objectSelector": {"matchLabels": {"no": "way"}}},
            ),
            binding("labels"),
            policy(
                "conditions",
                check("false", message="conditions"),
                matchConditions=[
                    {"name": "c", "expression": "object != null && object.metadata.name.startsWith('c')"},
                    {"name": "e", "expression": "object.data.x == 'y'"},
                ],
            ),
            binding("conditions"),
            policy(
                "lenient",
                check("object.data.none == 'x'"),
                failurePolicy="Ignore",
                matchConditions=[{"name": "i", "expression": "object.metadata.name == 'i'"}],
            ),
            binding("lenient"),
            policy("names", check("false", message="by name"), rules=[MAPS_RULE | {"resourceNames": ["n"]}]),
            binding("names"),
            policy(
                "spared",
                check("false", message="not spared"),
                rules=[MAPS_RULE | {"resources": ["secrets", "*/status"]}],
                constraints={"excludeResourceRules": [MAPS_RULE | {"resources": ["secrets"], "resourceNames": ["s"]}]},
            ),
            binding("spared", matchResources={"objectSelector": {"matchLabels": {"bound": "yes"}}}),
        ),
        post(MAPS, labelled("a", no="way")),
        post(MAPS, labelled("a", no="matter")),
        put(f"{MAPS}/a", labelled("a", no="way")),
        post(MAPS, named("c", data={"x": "y"})),
        post(MAPS, named("c", data={"x": "z"})),
        post(MAPS, named("c2")),
        post(MAPS, named("i")),
        post(MAPS, named("n")),
        post(f"{HOME}/secrets", named("s", "Secret", metadata={"labels": {"bound": "yes"}})),
        post(f"{HOME}/secrets", named("t", "Secret", metadata={"labels": {"bound": "yes"}})),
        post(f"{HOME}/secrets", named("t", "Secret")),
    ),
    sequence(
        "policies take parameters",
        *in_force(
            policy(
                "p",
                check("object.data.size == params.data.size", messageExpression="'not as ' + params.metadata.name"),
                paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
                rules=[MAPS_RULE | {"operations": ["CREATE"], "resources": ["secrets"]}],
            ),
            named(
                "one.${ns}",
                "ValidatingAdmissionPolicyBinding",
                VERSION,
                spec={
                    "policyName": "p.${ns}",
                    "validationActions": ["Deny"],
                    "paramRef": {"name": "one", "parameterNotFoundAction": "Allow"},
                },
            ),
            policy(
                "d",
                check("true"),
                paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
                rules=[MAPS_RULE | {"operations": ["DELETE"], "resources": ["secrets"]}],
            ),
            binding("d", paramRef={"selector": {"matchLabels": {"a": "none"}}, "parameterNotFoundAction": "Deny"}),
        ),
        post(f"{HOME}/secrets", named("a", "Secret", data={"size": "MQ=="})),
        post(MAPS, named("one", data={"size": "Mg=="})),
        post(f"{HOME}/secrets", named("b", "Secret", data={"size": "MQ=="}), until=422),
        post(f"{HOME}/secrets", named("c", "Secret", data={"size": "Mg=="})),
        delete(f"{HOME}/secrets/c"),
    ),
    sequence(
        "policies know the request",
        *in_force(
            policy(
                "r",
                check(
                    "false",
                    messageExpression="'%s %s %s' .format([request.operation, request.name, request.namespace])",
                ),
                check(
                    "false", messageExpression="request.kind.kind + request.resource.resource + request.kind.version"
                ),
                check("false", messageExpression="request.userInfo.username + ' ' + request.userInfo.groups.join(',')"),
                check("false", messageExpression="string(request.dryRun) + request.?subResource.orValue('none')"),
                check("false", messageExpression="namespaceObject.metadata.name + namespaceObject.status.phase"),
                check("false", messageExpression="string(request.options.kind)"),
                check("authorizer.group('').resource('configmaps').namespace('x').name('y').check('get').allowed()"),
                check("!authorizer.serviceAccount('default', 'x').group('').resource('pods').check('get').allowed()"),
                check("authorizer.requestResource.check('create').allowed()"),
                check("authorizer.path('/healthz').check('get').reason() == ''"),
                check("variables.big == 3 && variables.bigger == 6"),
                check("variables.wrong == 3"),
                check("has(variables.big) && !has(request.subResource)"),
                variables=[
                    {"name": "big", "expression": "1 + 2"},
                    {"name": "bigger", "expression": "variables.big * 2"},
                    {"name": "wrong", "expression": "1 / 0"},
                ],
            ),
            binding("r", "Warn"),
        ),
        post(MAPS, named("a")),
        post(DRY, named("b")),
        post(MAPS, named("", metadata={"generateName": "gen-"})),
        put(f"{MAPS}/a", named("a", data={"a": "b"})),
        delete(f"{MAPS}/a"),
        delete(f"{MAPS}?labelSelector=none=none"),
    ),
    sequence(
        "policies see subresources",
        *in_force(
            policy(
                "s",
                check(
                    "false", messageExpression="request.kind.kind + ' ' + request.subResource + ' ' + request.operation"
                ),
                rules=[
                    {"apiGroups": ["", "apps"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]},
                ],
                matchConditions=[{"name": "sub", "expression": "has(request.subResource)"}],
            ),
            binding("s"),
        ),
        post(f"{HOME}/pods", pod("a"), unseen=True),
        patch(f"{PODS}/a/status", {"status": {"message": "m"}}),
        post(f"{PODS}/a/eviction", named("a", "Eviction", "policy/v1")),
        post(f"{PODS}/a/binding", named("a", "Binding", target={"kind": "Node", "name": "n"})),
        post(
            f"{HOME}/serviceaccounts/default/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        ),
        post("/apis/apps/v1/namespaces/${ns}/deployments", workload("d"), unseen=True),
        patch("/apis/apps/v1/namespaces/${ns}/deployments/d/scale", {"spec": {"replicas": 2}}),
        patch("/apis/apps/v1/namespaces/${ns}/deployments/d/status", {"status": {"replicas": 2}}),
    ),
    sequence(
        "policies that are refused",
        post(POLICIES, named("a", "ValidatingAdmissionPolicy", VERSION, spec={})),
        post(POLICIES, policy("a")),
        post(POLICIES, policy("a", check("object.x == "))),
        post(
            POLICIES,
            policy("a", check("1 + 1"), check("nothing == 1"), check(""), check("true", messageExpression="1")),
        ),
        post(POLICIES, policy("a", check("request.nothing == 'a'"), check("object == nothing"))),
        post(POLICIES, policy("a", check("params.x == 1"), check("variables.x == 1"))).differing(WORDS, "body"),
        post(POLICIES, policy("a", check("true", reason="Nothing", message=" ", messageExpression=" "))),
        post(POLICIES, policy("a", check("true", message="a\nb"))),
        post(POLICIES, policy("a", check("true"), failurePolicy="Never")),
        post(
            POLICIES,
            policy(
                "a",
                check("true"),
                matchConditions=[{"name": "", "expression": ""}, {"name": "a b", "expression": "nothing"}],
            ),
        ),
        post(
            POLICIES,
            policy(
                "a",
                check("true"),
                matchConditions=[{"name": "a", "expression": "true"}, {"name": "a", "expression": "1"}],
            ),
        ),
        post(
            POLICIES,
            policy(
                "a", check("true"), variables=[{"name": "1x", "expression": "true"}, {"name": "", "expression": ""}]
            ),
        ),
        post(POLICIES, policy("a", check("true"), variables=[{"name": "namespace", "expression": "y"}])),
        post(
            POLICIES,
            policy(
                "a",
                check("true"),
                auditAnnotations=[{"key": "k", "valueExpression": "1"}, {"key": "k", "valueExpression": "'a'"}],
            ),
        ),
        post(POLICIES, policy("a", check("true"), auditAnnotations=[{"key": "a b", "valueExpression": ""}])),
        post(POLICIES, policy("a", check("true"), paramKind={"apiVersion": "a/b/c", "kind": "a b"})),
        post(POLICIES, policy("a", check("true"), paramKind={"apiVersion": "V.1/V1"})),
        post(
            POLICIES,
            policy(
                "a",
                check("true"),
                rules=[{"apiGroups": [], "apiVersions": [""], "operations": ["GET"], "resources": []}],
            ),
        ),
        post(
            POLICIES,
            policy(
                "a",
                check("true"),
                rules=[
                    MAPS_RULE | {"operations": ["*", "CREATE"], "apiGroups": ["*", "a"], "apiVersions": ["*", "v1"]}
                ],
            ),
        ),
        post(POLICIES, policy("a", check("true"), rules=[MAPS_RULE | {"resources": ["*/*", "pods"], "scope": "Some"}])),
        post(
            POLICIES,
            policy(
                "a",
                check("true"),
                rules=[MAPS_RULE | {"resources": ["pods/*", "pods/status"], "resourceNames": ["a/b", "c", "c"]}],
            ),
        ),
        post(
            POLICIES,
            policy(
                "a",
                check("true"),
                constraints={"matchPolicy": "Some", "objectSelector": {"matchLabels": {"a b": "c d"}}},
            ),
        ),
        post(BINDINGS, named("b", "ValidatingAdmissionPolicyBinding", VERSION, spec={})),
        post(BINDINGS, binding("b", "Deny", "Warn")),
        post(BINDINGS, binding("b", "Deny", "Deny", "Some")),
        post(BINDINGS, binding("b", paramRef={})),
        post(BINDINGS, binding("b", paramRef={"name": "a", "selector": {}, "parameterNotFoundAction": "Some"})),
        post(f"{POLICIES}?dryRun=All", policy("a", check("true"))),
        post(f"{BINDINGS}?dryRun=All", binding("a")),
        post(
            f"{POLICIES}?dryRun=All",
            policy("a", check("variables.a == 'x'"), variables=[{"name": "a", "expression": "1"}]),
        ).differing(TYPES),
    ),
)
