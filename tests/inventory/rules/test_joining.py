"""Join tokens as text, and what the hub answers to a request."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.isthmus import (
    APPROVED,
    CLUSTER_LABEL,
    DENIED,
    EXPIRES_ANNOTATION,
    PENDING,
    JoinRequestSpec,
    Member,
    MemberSpec,
)
from isthmus.api.meta import ObjectMeta
from isthmus.errors import Invalid
from isthmus.inventory.rules.joining import (
    JoinToken,
    Ticket,
    anchor,
    decide,
    held_up,
    read_token,
    record,
    ticket,
    ticket_secret,
    written,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(hours=1)
TOKEN = JoinToken(
    "https://hub.example:6443", "PEM", "", "prod", "0123456789", "west", SOON, bearer="ey.header.signature"
)
ANY = Ticket("prod", "", SOON)
NAMED = Ticket("prod", "west", SOON)


def member(name: str, *, uid: str = "", set_: str = "prod", **spec: object) -> Member:
    metadata = ObjectMeta(name=name, namespace=set_)
    return Member(metadata=metadata, spec=MemberSpec(id=name, set=set_, uid=uid, **spec))  # type: ignore[arg-type]  # as given


def request(cluster: str = "west", **spec: object) -> JoinRequestSpec:
    return JoinRequestSpec(**{"cluster": cluster, "set": "prod", "uid": "u-west", **spec})  # type: ignore[arg-type]  # as given


def test_a_token_is_read_as_it_was_written() -> None:
    assert read_token(f"  {written(TOKEN)}\n") == TOKEN
    assert TOKEN.name == "join-0123456789"
    assert "signature" not in repr(TOKEN)


def test_a_token_that_was_cut_anywhere_is_noticed() -> None:
    text = written(TOKEN)
    for length in range(len(text)):
        with pytest.raises(Invalid, match="isthmus token create"):
            read_token(text[:length])


def test_a_token_with_any_other_character_is_noticed() -> None:
    text = written(TOKEN)
    for place in range(len(text)):
        with pytest.raises(Invalid):
            read_token(text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :])


@pytest.mark.parametrize(
    ("token", "words"),
    [
        pytest.param(replace(TOKEN, server="http://hub"), "lacks the hub's address", id="no https"),
        pytest.param(replace(TOKEN, bearer=""), "who to be", id="no bearer"),
        pytest.param(replace(TOKEN, id="../../etc"), "its id", id="an id that is a path"),
        pytest.param(replace(TOKEN, expires=datetime(2026, 1, 1)), "when it ends", id="a moment without zone"),  # noqa: DTZ001
    ],
)
def test_a_token_that_says_nonsense_is_refused(token: JoinToken, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_token(written(token))


@pytest.mark.parametrize("text", ["", "hello", "isthmus-v1", "isthmus-v1.", "isthmus-v1..", "x" * 100_000])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="isthmus token create"):
        read_token(text)


@pytest.mark.requirement("ABOUT-9", "ABOUT-23", "ABOUT-30", "ABOUT-32")
@pytest.mark.parametrize(
    ("asked", "of", "members", "phase", "words"),
    [
        pytest.param(request(), NAMED, [], APPROVED, "names this cluster", id="a named token is consent"),
        pytest.param(request(), ANY, [], PENDING, "isthmus approve west", id="an unnamed one may only ask"),
        pytest.param(request("east"), NAMED, [], DENIED, "is for cluster west", id="another cluster's token"),
        pytest.param(request(set="dev"), NAMED, [], DENIED, "is for set prod, not for dev", id="another set's token"),
        pytest.param(request(), replace(NAMED, expires=NOW), [], DENIED, "has ended", id="a token that has ended"),
        pytest.param(
            request(server="file:///etc"), NAMED, [], DENIED, "does not begin with https", id="an address that is none"
        ),
        pytest.param(
            request(), NAMED, [member("west", uid="u-west")], APPROVED, "", id="the same cluster joins again: repair"
        ),
        pytest.param(
            request(), NAMED, [member("west")], APPROVED, "", id="on record without a UID: it is that cluster"
        ),
        pytest.param(
            request(), NAMED, [member("west", uid="other")], DENIED, "belongs to another cluster", id="a taken id"
        ),
        pytest.param(
            request(), NAMED, [member("west", uid="u-west", set_="dev")], DENIED, "taken on this hub, in set dev",
            id="a name of another set",
        ),
        pytest.param(
            request(), NAMED, [member("east", uid="u-west")], DENIED, "is member east of set prod already",
            id="the same cluster under another name",
        ),
        pytest.param(
            request(), NAMED, [member("east", uid="u-west", set_="dev")], DENIED, "east of set dev already",
            id="a member of another set",
        ),
        pytest.param(
            request(moving=True), NAMED, [member("west", uid="u-west", set_="dev")], APPROVED, "once it has left",
            id="a member of another set that will leave it",
        ),
        pytest.param(
            request(moving=True), NAMED, [member("east", uid="u-west", set_="dev")], APPROVED, "once it has left",
            id="and comes under another name",
        ),
        pytest.param(
            request(moving=True), ANY, [member("west", uid="u-west", set_="dev")], PENDING, "isthmus approve west",
            id="an admin is asked before anything is given up",
        ),
        pytest.param(
            request(moving=True), NAMED, [member("west", uid="other", set_="dev")], DENIED, "taken on this hub",
            id="moving to a name that another cluster has elsewhere",
        ),
        pytest.param(
            request(moving=True), NAMED, [member("east", uid="u-west")], DENIED, "is member east of set prod",
            id="moving within a set is no way to another name",
        ),
        pytest.param(request("east", moving=True), NAMED, [], DENIED, "is for cluster west", id="by false token"),
    ],
)  # fmt: skip
def test_what_the_hub_answers(
    asked: JoinRequestSpec, of: Ticket, members: list[Member], phase: str, words: str
) -> None:
    decision = decide(asked, of, members, is_approved=False, now=NOW)
    assert decision.phase == phase
    assert words in decision.reason


def test_an_admin_is_told_that_a_name_is_there_already() -> None:
    asked = decide(request(), ANY, [member("west", uid="u-west")], is_approved=False, now=NOW)
    assert asked.phase == PENDING
    assert asked.reason.endswith("It says that it is member west, which is there: make sure that it is")


def test_an_admins_consent_lets_in_only_what_may_be_in() -> None:
    assert decide(request(), ANY, [], is_approved=True, now=NOW).phase == APPROVED
    taken = [member("west", uid="other")]
    assert decide(request(), ANY, taken, is_approved=True, now=NOW).phase == DENIED


def test_a_name_waits_for_its_accounts_of_a_set_that_was_left_and_is_refused_while_it_is_a_members() -> None:
    waits = held_up("west", "dev", [member("east", set_="dev")])
    assert (waits.phase, waits.reason.startswith("set dev has yet to take back")) == (APPROVED, True)
    refused = held_up("west", "dev", [member("west", set_="dev")])
    assert (refused.phase, "taken on this hub, in set dev" in refused.reason) == (DENIED, True)


def test_what_the_hub_records_is_not_what_the_cluster_says_of_its_pod_ranges() -> None:
    asked = request(pod_ranges=("0.0.0.0/0",), server="https://west:6443")
    made = record("0f3a9c1d22", asked, NAMED, None, now=NOW)["spec"]
    assert made == {
        "id": "west", "set": "prod", "uid": "u-west", "joinedAt": "2026-03-01T12:00:00Z", "server": "https://west:6443"
    }  # fmt: skip
    approved = replace(NAMED, pod_ranges=("10.1.0.0/16",))
    assert record("0f3a9c1d22", asked, approved, None, now=NOW)["spec"]["podRanges"] == ["10.1.0.0/16"]


def test_who_is_reached_through_the_tunnel_is_named_to_it_and_may_think_better_of_it() -> None:
    through = record("0f3a9c1d22", request(tunnel=True), NAMED, None, now=NOW, tunnel="https://tunnel.example:8132")[
        "spec"
    ]
    assert through["proxyURL"] == "https://west@tunnel.example:8132"
    known = member("west", uid="u-west", proxy_url=through["proxyURL"])
    assert (
        "proxyURL"
        not in record("0f3a9c1d22", request(), NAMED, known, now=NOW, tunnel="https://tunnel.example:8132")["spec"]
    )


def test_who_joins_again_keeps_the_moment_of_its_joining_and_its_pod_ranges() -> None:
    known = member("west", uid="u-west", joined_at=NOW - timedelta(days=9), pod_ranges=("10.1.0.0/16",))
    again = record("0f3a9c1d22", request(), NAMED, known, now=NOW)["spec"]
    assert (again["joinedAt"], again["podRanges"]) == ("2026-02-20T12:00:00Z", ["10.1.0.0/16"])


def test_a_tokens_secret_says_what_the_hub_knows_of_it() -> None:
    of = Ticket("prod", "west", SOON, ("10.1.0.0/16", "fd00::/48"))
    assert ticket(ticket_secret("0123456789", of)) == of
    assert CLUSTER_LABEL not in ticket_secret("0123456789", ANY)["metadata"]["labels"]
    assert ticket({"metadata": {"name": "join-x"}}).expires < NOW
    with pytest.raises(Invalid, match=r"join-x: annotation .*; delete it"):
        ticket({"metadata": {"name": "join-x", "annotations": {EXPIRES_ANNOTATION: "tomorrow"}}})
    assert anchor("west", "prod", "0123456789")["metadata"]["name"] == "west-0123456789"
