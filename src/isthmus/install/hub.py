"""All that a hub consists of, as manifests: definitions, one set's namespace, its members' access, the controller."""

from dataclasses import dataclass

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.crds import HUB_CRDS
from isthmus.api.isthmus import CLUSTER_SET_LABELS, MEMBERS, MEMBERS_NAMESPACE, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.kinds import whole
from isthmus.install.policies import hub_policies
from isthmus.install.roles import hub_roles, member_access
from isthmus.install.workloads import HUB, IMAGE, Workload, installation, made, namespace, priority, workload


@dataclass(frozen=True)
class HubOptions:
    """Which set the hub serves, which clusters are in it, and the image. Raises Invalid for names that cannot be."""

    set: str
    members: tuple[str, ...] = ()
    image: str = IMAGE

    def __post_init__(self) -> None:
        problems = [set_problem(self.set), *map(registered_id_problem, self.members)]
        if problem := next(filter(None, problems), ""):
            raise Invalid(problem)


def hub_manifests(options: HubOptions) -> tuple[Manifest, ...]:
    """The manifests of a hub, in the order in which they are to be applied."""
    name = options.set
    set_labels = {SET_LABEL: name} | dict.fromkeys(CLUSTER_SET_LABELS, name)
    controller = Workload("isthmus-hub", options.image, ("hub", f"--set={name}"), cluster_set=name)
    manifests = [
        namespace(SYSTEM_NAMESPACE, {}),
        namespace(MEMBERS_NAMESPACE, {}),
        namespace(name, set_labels),
        *HUB_CRDS,
        priority(),
        *hub_roles(name),
        *hub_policies(),
        *workload(controller),
    ]
    for member in options.members:
        manifests += member_manifests_at_hub(name, member)
    return installation(HUB, manifests)


def member_manifests_at_hub(cluster_set: str, member: str) -> tuple[Manifest, ...]:
    """One cluster's place in the set: its record, its account, and what that may do."""
    account = made(SERVICE_ACCOUNTS, member, MEMBERS_NAMESPACE, automountServiceAccountToken=False)
    # Without the moment of joining: the record's own age says it, and applying again must not change it.
    record = made(whole(MEMBERS), member, cluster_set, spec={"id": member, "set": cluster_set})
    return (account, *member_access(cluster_set, member), record)
