"""What a chart runs before it makes anything: a Job that renews definitions, and an account that may do just that.

Helm makes definitions that are missing, and never looks at them again. Helm, "Chart Hooks".
"""

from typing import Final

from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.install.hub import hub_definitions
from isthmus.install.member import member_definitions
from isthmus.install.rights import Right, rights_for
from isthmus.install.workloads import HUB, made, once

JOBS: Final[Resource[Manifest]] = Resource("batch", "v1", "jobs", "Job", dict)
# Seconds.
_ENDS_WITHIN: Final = 240


def renewal(part: str, image: str, namespace: str) -> tuple[Manifest, ...]:
    """The Job for HUB or MEMBER, its account and rights; all of it goes once it has succeeded."""
    name = f"isthmus-definitions-{part}"
    definitions = hub_definitions() if part == HUB else member_definitions()
    group = CLUSTER_ROLES.group
    pod = once(name, image, ("install", "definitions", part, "--in-cluster"))
    return (
        _hook(0, made(SERVICE_ACCOUNTS, name, namespace)),
        _hook(0, made(CLUSTER_ROLES, name, rules=_rules(rights_for(definitions)))),
        _hook(
            1,
            made(
                CLUSTER_ROLE_BINDINGS,
                name,
                roleRef={"apiGroup": group, "kind": CLUSTER_ROLES.kind, "name": name},
                subjects=[{"kind": SERVICE_ACCOUNTS.kind, "name": name, "namespace": namespace}],
            ),
        ),
        _hook(
            2,
            made(
                JOBS,
                name,
                namespace,
                spec={"backoffLimit": 2, "activeDeadlineSeconds": _ENDS_WITHIN, "template": {"spec": pod}},
            ),
        ),
    )


def _hook(weight: int, manifest: Manifest) -> Manifest:
    annotations = {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-weight": str(weight),
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-failed",
    }
    return manifest | {"metadata": manifest["metadata"] | {"annotations": annotations}}


def _rules(rights: list[Right]) -> list[Manifest]:
    verbs: dict[tuple[str, str], list[str]] = {}
    for verb, group, resource, _ in rights:
        verbs.setdefault((group, resource), []).append(verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": allowed}
        for (group, resource), allowed in verbs.items()
    ]
