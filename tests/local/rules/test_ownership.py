from datetime import UTC, datetime

import pytest

from isthmus.api.apps import LabelSelector, Pod, ReplicaSet, SelectorRequirement
from isthmus.api.meta import ObjectMeta, OwnerReference
from isthmus.local.rules.ownership import claim, controller_of, owner_reference, selects

WEB = LabelSelector(match_labels={"app": "web"})
OWNER = ReplicaSet(metadata=ObjectMeta(name="web-1", uid="u-1"))


def term(operator: str, *values: str) -> LabelSelector:
    return LabelSelector(match_expressions=(SelectorRequirement(key="app", operator=operator, values=values),))


@pytest.mark.parametrize(
    ("selector", "labels", "want"),
    [
        pytest.param(WEB, {"app": "web", "tier": "front"}, True, id="all labels there, others too"),
        pytest.param(WEB, {"app": "db"}, False, id="another value"),
        pytest.param(WEB, {}, False, id="no label"),
        pytest.param(LabelSelector(), {"app": "web"}, False, id="a selector without terms matches nothing"),
        pytest.param(term("In", "web", "db"), {"app": "db"}, True, id="one of"),
        pytest.param(term("In", "web"), {}, False, id="one of, without the label"),
        pytest.param(term("NotIn", "web"), {"app": "db"}, True, id="none of"),
        pytest.param(term("NotIn", "web"), {}, True, id="none of, without the label"),
        pytest.param(term("Exists"), {"app": ""}, True, id="there"),
        pytest.param(term("DoesNotExist"), {"app": ""}, False, id="not there"),
        pytest.param(term("Resembles"), {"app": "web"}, False, id="an operator of another time"),
    ],
)
def test_a_selector_chooses_by_labels(selector: LabelSelector, labels: dict[str, str], want: bool) -> None:
    assert selects(selector, labels) is want


def pod(name: str, *, owner: str = "", app: str = "web", going: bool = False) -> Pod:
    reference = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="x", uid=owner, controller=True)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            labels={"app": app},
            owner_references=(reference,) if owner else (),
            deletion_timestamp=datetime(2030, 1, 1, tzinfo=UTC) if going else None,
        )
    )


def test_what_is_owned_adopted_and_released() -> None:
    pods = [
        pod("own", owner="u-1"),
        pod("relabelled", owner="u-1", app="other"),
        pod("of-another", owner="u-2"),
        pod("orphan"),
        pod("orphan-going", going=True),
        pod("orphan-other", app="other"),
    ]
    found = claim(OWNER, WEB, pods)
    assert [each.metadata.name for each in found.owned] == ["own"]
    assert [each.metadata.name for each in found.adopted] == ["orphan"]
    assert [each.metadata.name for each in found.released] == ["relabelled"]


def test_an_owner_that_is_being_deleted_adopts_nothing() -> None:
    going = ReplicaSet(
        metadata=ObjectMeta(name="web-1", uid="u-1", deletion_timestamp=datetime(2030, 1, 1, tzinfo=UTC))
    )
    assert claim(going, WEB, [pod("orphan")]).adopted == ()


def test_the_reference_makes_its_owner_the_controller() -> None:
    owned = Pod(metadata=ObjectMeta(owner_references=(owner_reference(OWNER, kind="ReplicaSet"),)))
    controller = controller_of(owned)
    assert controller is not None
    assert (controller.kind, controller.name, controller.uid) == ("ReplicaSet", "web-1", "u-1")
