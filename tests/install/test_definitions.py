"""What becomes of definitions that are there already: the table of upgrades."""

import pytest

from isthmus.api.crds import ABOUT_CRDS, HUB_CRDS, MCS_CRDS, RELEASE_LABEL, REVISION_LABEL
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL
from isthmus.api.scheme import Manifest
from isthmus.install.definitions import Act, age, decide, renewed, stale_versions

OURS = {MARKER_LABEL: MANAGED_BY}
HELM = {"app.kubernetes.io/managed-by": "Helm"}
EXPORTS, PROPERTIES = MCS_CRDS[0], ABOUT_CRDS[0]
MEMBERS = next(crd for crd in HUB_CRDS if crd["metadata"]["name"] == "members.isthmus.dev")


def definition(
    like: Manifest, release: str = "", revision: str = "", *, versions: str = "v1alpha1 v1beta1", **labels: str
) -> Manifest:
    known = {RELEASE_LABEL: release, REVISION_LABEL: revision} | labels
    return {
        "metadata": {"name": like["metadata"]["name"], "labels": {key: each for key, each in known.items() if each}},
        "spec": like["spec"] | {"versions": [{"name": each, "served": True} for each in versions.split()]},
    }


@pytest.mark.parametrize(
    ("seen", "wanted", "act", "why"),
    [
        pytest.param(None, EXPORTS, Act.MAKE, "not there", id="none is there"),
        pytest.param(definition(EXPORTS, "v0.5.1", "9"), EXPORTS, Act.RENEW, "older", id="an older release"),
        pytest.param(definition(EXPORTS, "v0.10.0"), EXPORTS, Act.KEEP, "newer", id="ten is more than five"),
        pytest.param(definition(EXPORTS, "v0.5.2", "1"), EXPORTS, Act.KEEP, "newer", id="a newer revision"),
        pytest.param(definition(EXPORTS, "v0.5.2", "0"), EXPORTS, Act.KEEP, "same", id="the same, of nobody"),
        pytest.param(definition(EXPORTS, "v0.5.2", "0", **OURS), EXPORTS, Act.RENEW, "ours", id="the same, ours"),
        pytest.param(definition(EXPORTS, "v0.6.0", **OURS), EXPORTS, Act.KEEP, "newer", id="newer, ours: no downgrade"),
        pytest.param(
            definition(EXPORTS, "v0.5.2-rc.1", "0"), EXPORTS, Act.RENEW, "older", id="before the release its candidate"
        ),
        pytest.param(
            definition(EXPORTS, versions="v1alpha1"), EXPORTS, Act.RENEW, "older", id="without labels: the first ones"
        ),
        pytest.param(
            definition(EXPORTS, "v0.5.0", **HELM), EXPORTS, Act.KEEP, "managed by Helm", id="somebody's, good enough"
        ),
        pytest.param(
            definition(EXPORTS, "v0.3.0", versions="v1alpha1", **HELM),
            EXPORTS,
            Act.REFUSE,
            "does not serve v1beta1",
            id="somebody's, too old",
        ),
        pytest.param(
            definition(EXPORTS, "v1.0.0", versions="v1beta1 v1"),
            EXPORTS,
            Act.REFUSE,
            "v1, which is newer than ours, and does not serve v1alpha1",
            id="of a time after v1alpha1",
        ),
        pytest.param(
            definition(EXPORTS, "v1.0.0", versions="v1alpha1 v1beta1 v1"), EXPORTS, Act.KEEP, "has version v1", id="v1"
        ),
        pytest.param(definition(EXPORTS, "latest"), EXPORTS, Act.KEEP, "cannot be read", id="a release that is none"),
        pytest.param(
            definition(EXPORTS, "v0.5.2", "first"), EXPORTS, Act.KEEP, "cannot be read", id="a revision that is none"
        ),
        pytest.param(
            definition(EXPORTS, "latest", versions="v1alpha1"), EXPORTS, Act.REFUSE, "cannot be read", id="unclear, old"
        ),
        pytest.param(definition(PROPERTIES), PROPERTIES, Act.KEEP, "somebody else made it", id="another's properties"),
        pytest.param(
            definition(PROPERTIES, versions="v1alpha1"), PROPERTIES, Act.RENEW, "older", id="old properties of nobody"
        ),
        pytest.param(definition(PROPERTIES, **OURS), PROPERTIES, Act.RENEW, "ours", id="our properties"),
        pytest.param(definition(MEMBERS, versions="v1alpha1"), MEMBERS, Act.RENEW, "ours", id="our own group"),
    ],
)
def test_a_definition_is_never_taken_back_nor_taken_over(
    seen: Manifest | None, wanted: Manifest, act: Act, why: str
) -> None:
    decision = decide(seen, wanted)
    assert decision.act is act
    assert why in decision.why


def test_releases_are_ordered_as_semantic_versions() -> None:
    in_order = ["v0.1.0", "v0.5.2-1", "v0.5.2-2", "v0.5.2-alpha", "v0.5.2-alpha.1", "0.5.2", "v0.5.10", "v1.0.0+b"]
    ages = [age(definition(EXPORTS, release)) for release in in_order]
    assert ages == sorted(each for each in ages if each is not None)
    assert len(set(ages)) == len(ages)


def test_renewing_keeps_what_others_wrote_and_takes_no_possession() -> None:
    seen = definition(EXPORTS, "v0.4.0", team="shop")
    seen["metadata"] |= {"resourceVersion": "7", "managedFields": [], "annotations": {"a": "b"}}
    wanted = definition(EXPORTS, "v0.5.2", **OURS)
    done = renewed(seen, wanted)
    assert done["metadata"]["labels"] == {"team": "shop", RELEASE_LABEL: "v0.5.2"}
    assert done["metadata"]["resourceVersion"] == "7"
    assert done["metadata"]["annotations"] == {"a": "b"}
    assert done["spec"] == wanted["spec"]
    assert renewed(definition(EXPORTS, "v0.4.0", **OURS), wanted)["metadata"]["labels"][MARKER_LABEL] == MANAGED_BY


def test_versions_that_may_still_be_stored() -> None:
    seen = {
        "spec": {"versions": [{"name": "v1alpha1"}, {"name": "v1beta1", "storage": True}]},
        "status": {"storedVersions": ["v1alpha1", "v1beta1"]},
    }
    assert stale_versions(seen) == ["v1alpha1"]
    assert stale_versions({"spec": seen["spec"]}) == []
