"""What Works may do on a member: nothing, unless its admin says so."""

import pytest

from isthmus.errors import Invalid
from isthmus.install.works import Works, read_works, works_manifests, works_property


@pytest.mark.parametrize(
    ("words", "want"),
    [
        pytest.param((), Works(), id="nothing said, nothing given"),
        pytest.param(("none",), Works(), id="nothing"),
        pytest.param(("prod", "shop,web"), Works(("prod", "shop", "web")), id="namespaces"),
        pytest.param(("clusterrole/deployer",), Works(role="deployer"), id="a role everywhere"),
    ],
)
def test_what_may_be_chosen(words: tuple[str, ...], want: Works) -> None:
    assert read_works(words) == want


@pytest.mark.parametrize("words", [("none", "prod"), ("clusterrole/a", "clusterrole/b"), ("Prod",), ("clusterrole/",)])
def test_what_may_not(words: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match="--works"):
        read_works(words)


def test_without_a_choice_there_is_no_account() -> None:
    assert works_manifests(Works()) == ()
    assert works_property(Works()) == {}


def test_in_a_namespace_the_account_can_edit_and_nowhere_else() -> None:
    account, binding = works_manifests(Works(("prod",)))
    assert (account["kind"], account["automountServiceAccountToken"]) == ("ServiceAccount", False)
    assert (binding["kind"], binding["metadata"]["namespace"]) == ("RoleBinding", "prod")
    assert binding["roleRef"]["name"] == "edit"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "isthmus-works", "namespace": "isthmus-system"}]
