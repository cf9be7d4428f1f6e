"""Who writes, in CEL: members and bearers of join tokens, by client certificate or by token.

Kubernetes, "Validating Admission Policy", `request.userInfo`.
"""

from typing import Final

from isthmus.install.roles import MEMBER_ACCOUNT_PREFIX, MEMBER_USER_PREFIX

# What Kubernetes itself does to any object: collect garbage, empty namespaces, store objects in a newer version.
# The last name is all of these where kube-controller-manager runs without a service account for each.
KUBERNETES: Final = (
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:storage-version-migrator-controller",
    "system:kube-controller-manager",
)
_USER: Final = "request.userInfo.username"
_BY_CERTIFICATE: Final = f"{_USER}.startsWith('{MEMBER_USER_PREFIX}')"
_BY_TOKEN: Final = f"{_USER}.startsWith('{MEMBER_ACCOUNT_PREFIX}')"

IS_MEMBER: Final = f"({_BY_CERTIFICATE} || {_BY_TOKEN})"
# A variable: the account's name, which is the member's id, or that of a join token; empty for everybody else.
MEMBER: Final = {
    "member": f"{_BY_CERTIFICATE} ? {_USER}.substring({len(MEMBER_USER_PREFIX)}) : "
    f"({_BY_TOKEN} ? {_USER}.substring({len(MEMBER_ACCOUNT_PREFIX)}) : '')",
}
# Another: deletions, of one object as of many, know the object as it was.
SUBJECT: Final = {"subject": "request.operation == 'DELETE' ? oldObject : object"}
