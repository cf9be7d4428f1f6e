"""Whether a cluster can join, and as whom: decided before anything is written."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.errors import Invalid
from isthmus.install.held import Held
from isthmus.install.joinable import Identity, clash, name_for, read_properties, token_problem
from isthmus.inventory.rules.joining import JoinToken

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOKEN = JoinToken("https://hub.example.org:6443", "", "", "prod", "0123456789", "", NOON, bearer="secret")
WEST = JoinToken("https://hub.example.org:6443", "", "", "prod", "0123456789", "west", NOON, bearer="secret")


@pytest.mark.parametrize(
    ("late", "refused"),
    [
        pytest.param(timedelta(minutes=-2), False, id="in time"),
        pytest.param(timedelta(minutes=2), False, id="two minutes late by our clock, which may be the wrong one"),
        pytest.param(timedelta(minutes=6), True, id="too late by any clock"),
    ],
)
def test_minutes_are_the_hubs_to_judge(late: timedelta, refused: bool) -> None:
    assert bool(token_problem(TOKEN, NOON + late)) is refused


@pytest.mark.parametrize(
    ("token", "wanted", "own", "context", "name"),
    [
        pytest.param(TOKEN, "typed", "own", "context", "typed", id="as typed"),
        pytest.param(WEST, "", "west", "context", "west", id="else as in the token"),
        pytest.param(TOKEN, "", "own", "context", "own", id="else by the id that it has"),
        pytest.param(TOKEN, "", "", "context", "context", id="else by its context's name"),
    ],
)
def test_the_name_to_join_under(token: JoinToken, wanted: str, own: str, context: str, name: str) -> None:
    assert name_for(token, wanted, own, context) == name


def test_a_context_that_is_no_name_needs_one() -> None:
    with pytest.raises(Invalid, match="name it with --name"):
        name_for(TOKEN, "", "", "kubernetes-admin@kubernetes")


def test_a_token_for_another_cluster_is_refused() -> None:
    with pytest.raises(Invalid, match="the token is for cluster west, not for east"):
        name_for(WEST, "east", "", "")


def held(cluster: str, cluster_set: str = "prod") -> Held:
    return Held(cluster, cluster_set, "https://hub.example.org:6443", "")


@pytest.mark.requirement("ABOUT-23", "ABOUT-27", "ABOUT-32")
@pytest.mark.parametrize(
    ("properties", "former", "wanted", "words"),
    [
        pytest.param({}, None, {}, "", id="a cluster that is nobody yet"),
        pytest.param({}, held("west"), {}, "", id="the same again, which repairs"),
        pytest.param({}, held("east"), {}, "has joined set prod as east", id="one that joined under another name"),
        pytest.param({}, held("west", "dev"), {}, "has joined set dev as west", id="one that joined another set"),
        pytest.param({"cluster.clusterset.k8s.io": "west"}, None, {}, "", id="one that has this very id"),
        pytest.param({"cluster.clusterset.k8s.io": "w"}, None, {}, "never rewritten: join as w", id="another id"),
        pytest.param({"clusterset.k8s.io": "dev"}, None, {}, "is in cluster set dev", id="one of another set"),
        pytest.param({"region": "eu"}, None, {"region": "eu"}, "", id="a property that says the same"),
        pytest.param({"region": "eu"}, None, {"region": "us"}, "says region=eu", id="a property of somebody else"),
    ],
)
def test_what_a_cluster_is_already_is_never_changed_silently(
    properties: dict[str, str], former: Held | None, wanted: dict[str, str], words: str
) -> None:
    said = clash("west", TOKEN, Identity("uid", "v1.36.0", properties), former, wanted)
    assert words in said
    assert bool(words) is bool(said)


def test_a_property_of_a_former_joining_may_be_said_anew() -> None:
    seen = Identity("uid", "v1.36.0", {"region": "eu"}, frozenset({"region"}))
    assert clash("west", TOKEN, seen, None, {"region": "us"}) == ""


def test_a_property_has_everything_after_its_first_equals_sign() -> None:
    assert read_properties(("a=b=c", "x.example.org=1")) == {"a": "b=c", "x.example.org": "1"}
