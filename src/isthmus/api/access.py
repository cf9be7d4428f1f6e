"""The kinds that say who may do what: RBAC and admission policies."""

from typing import Final

from isthmus.api.scheme import Manifest, Resource

_RBAC: Final = "rbac.authorization.k8s.io"
_ADMISSION: Final = "admissionregistration.k8s.io"

ROLES: Resource[Manifest] = Resource(_RBAC, "v1", "roles", "Role", dict)
ROLE_BINDINGS: Resource[Manifest] = Resource(_RBAC, "v1", "rolebindings", "RoleBinding", dict)
CLUSTER_ROLES: Resource[Manifest] = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", dict, namespaced=False)
CLUSTER_ROLE_BINDINGS: Resource[Manifest] = Resource(
    _RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", dict, namespaced=False
)
POLICIES: Resource[Manifest] = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", dict, namespaced=False
)
POLICY_BINDINGS: Resource[Manifest] = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", dict, namespaced=False
)

# In the order in which they are made: a binding names a role or policy that is there.
IN_ORDER: Final = (CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, POLICIES, POLICY_BINDINGS)
