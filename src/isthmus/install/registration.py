"""What the registry's own objects must be like, whoever writes them: Members, requests to join, tokens.

Design, part 2; ABOUT-9, ABOUT-11, ABOUT-21, ABOUT-23. That no two Members are one cluster takes more than one object to
see: the hub's controller decides that.
"""

from typing import Final

from isthmus.api.isthmus import JOIN_PREFIX, MEMBERS_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.install.admission import CREATE, UPDATE, Check, Parameter, Scope, is_one_of, policy
from isthmus.install.callers import IS_MEMBER, MEMBER, SUBJECT
from isthmus.install.roles import HUB_USER

# Seconds for which a member's token may be good.
LONGEST_TOKEN: Final = 86_400
# Holds, line by line, the audiences that this hub's own tokens are for: who reads a token elsewhere learns nothing.
TOKENS_CONFIG: Final = "isthmus-tokens"
AUDIENCES_KEY: Final = "audiences"
# Of everything that a member writes: keys, and bytes of all annotations of one object.
_MOST_LABELS: Final = 16
_MOST_ANNOTATIONS: Final = 16
_ANNOTATION_BYTES: Final = 8192


def registry_policies(*, hub: str = HUB_USER) -> tuple[Manifest, ...]:
    """For the hub: Members stay who they are, requests are their token's, and tokens are short and for this hub."""
    return (*_member_policies(), *_request_policies(), *_token_policies(hub), *_plainness())


def _member_policies() -> tuple[Manifest, ...]:
    def stays(field: str) -> str:
        before = f"oldObject.?spec.?{field}"
        return f"(!{before}.hasValue() || object.?spec.?{field} == {before})"

    return (
        *policy(
            "isthmus-members-are-whom-they-are-called",
            Scope("isthmus.dev", ("members",), (CREATE, UPDATE)),
            (
                Check(
                    "object.spec.id == object.metadata.name && object.spec.set == object.metadata.namespace",
                    "spec.id must be the Member's name, spec.set its namespace: a cluster is in one set",
                ),
            ),
            when={"has-spec": "has(object.spec)"},
        ),
        *policy(
            "isthmus-members-stay-who-they-are",
            Scope("isthmus.dev", ("members",), (UPDATE,)),
            (
                Check(
                    " && ".join(map(stays, ("id", "set", "uid", "joinedAt"))),
                    "spec.id, set, uid and joinedAt of a Member never change: the cluster leaves, then joins again",
                ),
            ),
        ),
    )


def _request_policies() -> tuple[Manifest, ...]:
    same = " && ".join(f"object.spec.{field} == oldObject.spec.{field}" for field in ("uid", "cluster", "set"))
    return policy(
        "isthmus-join-requests-are-their-writers",
        Scope("isthmus.dev", ("joinrequests", "joinrequests/status"), namespace=MEMBERS_NAMESPACE),
        (
            Check(
                "variables.subject.metadata.name == variables.member && request.operation != 'DELETE' "
                "&& request.?subResource.orValue('') == ''",
                says="'account ' + variables.member + ' may write only the JoinRequest of its own name'",
            ),
            Check("request.operation == 'DELETE' || has(object.spec)", "spec is missing"),
            Check(
                f"request.operation != 'UPDATE' || !has(oldObject.spec) || ({same})",
                says="'this token was used by cluster ' + oldObject.?spec.?cluster.orValue('') + ' (kube-system UID ' "
                "+ oldObject.?spec.?uid.orValue('') + '): ask for a new one, on the hub: isthmus token create'",
            ),
        ),
        when={"member": IS_MEMBER},
        variables=MEMBER | SUBJECT,
    )


def _token_policies(hub: str) -> tuple[Manifest, ...]:
    scope = Scope("", ("serviceaccounts/token",), (CREATE,), namespace=MEMBERS_NAMESPACE)
    bound = "object.spec.?boundObjectRef"
    anchor = f"{bound}.?name.orValue('')"
    bootstrap = f"variables.member.startsWith('{JOIN_PREFIX}')"
    return (
        *policy(
            "isthmus-tokens-are-short",
            scope,
            (
                Check("variables.member != ''", "the hub's controller gives members rights, and makes no tokens"),
                Check(
                    f"{bootstrap} || request.name == variables.member",
                    says="'account ' + variables.member + ' may make tokens of its own only'",
                ),
                Check(
                    f"object.spec.?expirationSeconds.orValue(3600) <= {LONGEST_TOKEN}",
                    f"a member's token is good for at most {LONGEST_TOKEN} seconds",
                ),
                Check(
                    f"{bound}.?kind.orValue('') == 'Secret' && ({bootstrap} "
                    f"? {anchor} == request.name + '-' + variables.member.substring({len(JOIN_PREFIX)}) "
                    f": {anchor}.startsWith(request.name + '-') "
                    f"&& {anchor}.substring(size(request.name) + 1).matches('^[0-9a-f]{{10}}$'))",
                    says="'a token of ' + request.name + ' must be bound to the Secret that the hub made for it'",
                ),
            ),
            when={"member-or-hub": f"{IS_MEMBER} || {is_one_of(hub)}"},
            variables=MEMBER,
        ),
        *policy(
            "isthmus-tokens-are-for-this-hub",
            scope,
            (
                Check(
                    "object.spec.?audiences.orValue([]).all(a, "
                    f"('\\n' + params.data.{AUDIENCES_KEY} + '\\n').contains('\\n' + a + '\\n'))",
                    "a member's token is for this hub alone: leave out spec.audiences",
                ),
            ),
            when={"member": IS_MEMBER},
            parameter=Parameter("v1", "ConfigMap", {"name": TOKENS_CONFIG, "namespace": MEMBERS_NAMESPACE}),
        ),
    )


def _plainness() -> tuple[Manifest, ...]:
    """Finalizers and owners would tie the hub's hands when it clears up; labels without end would fill its store."""
    annotations = "object.metadata.?annotations.orValue({})"
    checks = (
        Check(
            "object.metadata.?finalizers.orValue([]).size() == 0 "
            "&& object.metadata.?ownerReferences.orValue([]).size() == 0",
            "what a member writes has neither finalizers nor owners",
        ),
        Check(
            f"object.metadata.?labels.orValue({{}}).size() <= {_MOST_LABELS} "
            f"&& {annotations}.size() <= {_MOST_ANNOTATIONS} "
            f"&& {annotations}.map(k, size(k) + size({annotations}[k])).sum() <= {_ANNOTATION_BYTES}",
            f"what a member writes has at most {_MOST_LABELS} labels, and {_MOST_ANNOTATIONS} annotations of "
            f"{_ANNOTATION_BYTES} characters together",
        ),
    )
    ours = ("exportedservices", "exportedendpoints", "joinrequests")
    return (
        *policy(
            "isthmus-member-objects-are-plain",
            Scope("isthmus.dev", ours, (CREATE, UPDATE)),
            checks,
            when={"member": IS_MEMBER},
        ),
        *policy(
            "isthmus-member-leases-are-plain",
            Scope("coordination.k8s.io", ("leases",), (CREATE, UPDATE), namespace=MEMBERS_NAMESPACE),
            checks,
            when={"member": IS_MEMBER},
        ),
    )
