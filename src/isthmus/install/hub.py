"""All that a hub consists of, as manifests: definitions, one set's namespace, its members' access, the controller.

What bears the label of a set is that set's alone; the rest serves all sets of the hub.
"""

from dataclasses import dataclass
from typing import Final

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.crds import HUB_CRDS
from isthmus.api.isthmus import CLUSTER_SET_LABELS, MEMBERS, MEMBERS_NAMESPACE, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.install.kinds import whole
from isthmus.install.policies import hub_policies
from isthmus.install.roles import hub_roles, inventory_role, member_access
from isthmus.install.workloads import (
    AS_USUAL,
    HUB,
    IMAGE,
    Tuning,
    Workload,
    installation,
    labelled,
    made,
    namespace,
    priority,
    workload,
)
from isthmus.inventory.rules.health import Grace

HUB_CONTROLLER: Final = "isthmus-hub"


@dataclass(frozen=True)
class HubOptions:
    """Which set the hub serves, which clusters are in it, and the image. Raises Invalid for names that cannot be.

    A member without a sign of life for `silent_after` seconds is silent.
    """

    set: str
    members: tuple[str, ...] = ()
    image: str = IMAGE
    silent_after: float = Grace.silent_after
    tuning: Tuning = AS_USUAL

    def __post_init__(self) -> None:
        problems = [set_problem(self.set), *map(registered_id_problem, self.members)]
        if problem := next(filter(None, problems), ""):
            raise Invalid(problem)


def hub_manifests(options: HubOptions) -> tuple[Manifest, ...]:
    """The manifests of a hub, in the order in which they are to be applied."""
    name = options.set
    set_labels = {SET_LABEL: name} | dict.fromkeys(CLUSTER_SET_LABELS, name)
    args = ("hub", f"--set={name}", f"--silent-after={options.silent_after:g}")
    controller = Workload(HUB_CONTROLLER, options.image, args, cluster_set=name, each_set=True, tuning=options.tuning)
    account, *controlling = workload(controller)
    of_all_sets = (
        namespace(SYSTEM_NAMESPACE, {}),
        namespace(MEMBERS_NAMESPACE, {}),
        *HUB_CRDS,
        priority(),
        inventory_role(),
        *hub_policies(),
        account,
    )
    of_this = [namespace(name, set_labels), *hub_roles(name), *controlling]
    for member in options.members:
        of_this += member_manifests_at_hub(name, member)
    return installation(HUB, (*of_all_sets, *(labelled(each, {SET_LABEL: name}) for each in of_this)))


def hub_definitions() -> tuple[Manifest, ...]:
    """The definitions alone."""
    return installation(HUB, HUB_CRDS)


def member_manifests_at_hub(cluster_set: str, member: str) -> tuple[Manifest, ...]:
    """One cluster's place in the set: its record, its account, and what that may do."""
    account = made(SERVICE_ACCOUNTS, member, MEMBERS_NAMESPACE, automountServiceAccountToken=False)
    # Without the moment of joining: the record's own age says it, and applying again must not change it.
    record = made(whole(MEMBERS), member, cluster_set, spec={"id": member, "set": cluster_set})
    return (account, *member_access(cluster_set, member), record)
