from isthmus.api.scheme import Manifest
from isthmus.testing.waiting import eventually
from tests.apiserver.calling import MERGE, Api

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


def role(name: str, label: str, *resources: str, gathers: str = "") -> Manifest:
    made: Manifest = {
        "metadata": {"name": name, "labels": {label: "yes"}},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [each]} for each in resources],
    }
    if gathers:
        made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {gathers: "yes"}}]}
    return made


async def resources(api: Api, name: str, wanted: set[str]) -> None:
    """Wait until a role has rules for just these."""

    async def are_wanted() -> bool:
        rules = (await api("GET", f"{ROLES}/{name}")).body["rules"] or ()
        return {rule["resources"][0] for rule in rules} == wanted

    await eventually(are_wanted, what=f"{name} has rules for {wanted}")


async def test_two_that_gather_each_other_come_to_rest(api: Api) -> None:
    for made in (role("a", "la", gathers="lb"), role("b", "lb", gathers="la"), role("c", "la", "pods", "nodes")):
        assert (await api("POST", ROLES, made)).code == 201
    await resources(api, "a", {"pods", "nodes"})
    await resources(api, "b", {"pods", "nodes"})
    version = (await api("GET", f"{ROLES}/b")).version
    # Whatever else is to be done would be done by the time a later change has had its effect.
    await api("POST", ROLES, role("d", "lz", "secrets"))
    await api("POST", ROLES, role("z", "lx", gathers="lz"))
    await resources(api, "z", {"secrets"})
    assert (await api("GET", f"{ROLES}/b")).version == version


async def test_what_is_gathered_goes_with_the_label(api: Api) -> None:
    for made in (role("all", "x", gathers="part"), role("p", "part", "pods"), role("q", "part", "nodes")):
        await api("POST", ROLES, made)
    await resources(api, "all", {"pods", "nodes"})
    await api("PATCH", f"{ROLES}/p", {"metadata": {"labels": {"part": None}}}, media=MERGE)
    await resources(api, "all", {"nodes"})
    await api("DELETE", f"{ROLES}/q")
    await resources(api, "all", set())
