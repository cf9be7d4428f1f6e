"""Who writes ClusterProfiles of ours, and what they must be like; those of other cluster managers are left alone.

KEP-4322, "Cluster Manager"; catalogue clusterprofile.md, section 2. What a consumer may rely on is held here whoever
writes; that a name is one cluster's takes more than one object to see, and is the hub's controller's.
"""

from typing import Final

from isthmus.api.inventory import CLUSTER_PROFILES, MANAGER_LABEL
from isthmus.api.isthmus import CLUSTER_LABEL
from isthmus.api.scheme import Manifest
from isthmus.install.admission import CREATE, IS_ADMIN, UPDATE, Check, Scope, is_one_of, label, policy
from isthmus.install.callers import IS_MEMBER, KUBERNETES
from isthmus.install.roles import HUB_USER
from isthmus.inventory.rules.profile import MANAGER_PREFIX

_RESOURCES: Final = (CLUSTER_PROFILES.plural, f"{CLUSTER_PROFILES.plural}/status")
# A longer name of a set is hashed into its manager's, which CEL cannot.
_LONGEST: Final = 63 - len(MANAGER_PREFIX)


def profile_policies(*, hub: str = HUB_USER) -> tuple[Manifest, ...]:
    """For the hub: its controller writes the profiles whose manager it is, and no others."""
    ours = {"ours": f"{_claims('object')} || {_claims('oldObject')}"}
    return (
        *policy(
            "isthmus-profiles-are-their-managers",
            Scope(CLUSTER_PROFILES.group, _RESOURCES),
            (
                Check(
                    # Helpers that an admin gave the right to may add to the status (INV-28).
                    f"{is_one_of(hub, *KUBERNETES)} || {IS_ADMIN} "
                    f"|| (request.?subResource.orValue('') == 'status' && !{IS_MEMBER})",
                    "only the hub's controller and cluster admins may write a ClusterProfile whose cluster manager "
                    f"is Isthmus, or make one look so ({MANAGER_PREFIX}...)",
                ),
            ),
            when=ours,
        ),
        *policy(
            "isthmus-profiles-are-of-their-set",
            Scope(CLUSTER_PROFILES.group, _RESOURCES, (CREATE, UPDATE)),
            _content(),
            when=ours,
        ),
        *policy(
            "isthmus-hub-keeps-to-its-profiles",
            Scope(CLUSTER_PROFILES.group, _RESOURCES),
            (
                Check(
                    f"(object == null || {_claims('object')}) && (oldObject == null || {_claims('oldObject')})",
                    "the hub's controller leaves ClusterProfiles of other cluster managers alone",
                ),
            ),
            when={"hub": is_one_of(hub)},
        ),
    )


def _content() -> tuple[Check, ...]:
    manager = _manager("object")
    status = "object.?status"
    return (
        Check(
            f"{label('object', MANAGER_LABEL)} == {manager}",
            says=f"'label {MANAGER_LABEL} must be the name of the cluster manager, ' + {manager}",
        ),
        Check(
            f"oldObject == null || {_manager('oldObject')} == {manager}",
            "spec.clusterManager never changes: delete the ClusterProfile, and its manager makes it anew",
        ),
        Check(
            f"size(object.metadata.namespace) > {_LONGEST} "
            f"|| {manager} == '{MANAGER_PREFIX}' + object.metadata.namespace",
            says=f"'namespace ' + object.metadata.namespace + ' is not that of cluster manager ' + {manager}",
        ),
        Check(
            f"{label('object', CLUSTER_LABEL)} == object.metadata.name",
            f"label {CLUSTER_LABEL} must be the profile's name: one profile, one cluster",
        ),
        Check(
            f"{status}.?credentialProviders.orValue([]).size() == 0",
            "status.credentialProviders is given up: write status.accessProviders",
        ),
        Check(
            f"{status}.?accessProviders.orValue([]).all(p, !has(p.cluster) || p.cluster.server.startsWith('https://'))",
            "status.accessProviders holds a server whose address does not begin with https://",
        ),
    )


def _manager(side: str) -> str:
    return f"{side}.?spec.?clusterManager.?name.orValue('')"


def _claims(side: str) -> str:
    """CEL for: the profile is there, and says that its cluster manager is one of ours."""
    said = (_manager(side), label(side, MANAGER_LABEL))
    ours = " || ".join(f"{each}.startsWith('{MANAGER_PREFIX}')" for each in said)
    return f"({side} != null && ({ours}))"
