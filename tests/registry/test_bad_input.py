"""Tokens and clusters that cannot be: each is told in a sentence, with what to type next, and nothing is written."""

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.inventory.rules.joining import JoinToken, read_token, written
from tests.real.certificates import Authority
from tests.real.ports import free_port
from tests.registry.conftest import Hands
from tests.registry.site import OUTSIDE, Site, well

WEST = ("--context", "west")
ANEW = "isthmus token create"


Spoil = Callable[[JoinToken], str]
# What becomes of a good token for west, and what is said of it then.
BAD: Mapping[str, tuple[Spoil, str]] = {
    "over": (lambda token: written(replace(token, expires=token.expires - timedelta(hours=3))), "the token ended at"),
    "its end is missing": (lambda token: written(token)[:-20], "cut short"),
    "a character is missing": (lambda token: written(token)[:200] + written(token)[201:], "damaged"),
    "copied twice": (lambda token: written(token) * 2, "damaged"),
    "something else": (lambda _: "swordfish", "is no join token"),
    "nothing": (lambda _: "", "is no join token"),
    "another cluster's": (
        lambda token: written(replace(token, cluster="north")),
        "the token is for cluster north, not for west",
    ),
    "another hub's": (lambda token: written(replace(token, bearer="unheard-of")), "is another hub's"),
}


@pytest.fixture
def untouched(hands: Hands) -> Iterator[Hands]:
    """West is as it was, and the hub has no new member, whatever is typed."""
    yield hands
    assert hands.on_member("west") == set()
    assert not hands.objects("hub", "members")


def test_a_token_that_the_hub_has_ended(untouched: Hands) -> None:
    token = untouched.read("--cluster", "west")
    untouched.well("token", "revoke", token.id, "--context", "hub")
    said = untouched.refused("join", written(token), *WEST)
    assert "does not know this token: it was used, has ended, or is another hub's" in said
    assert ANEW in said


@pytest.mark.parametrize(("spoil", "words"), [pytest.param(*bad, id=name) for name, bad in BAD.items()])
def test_a_token_that_cannot_be(untouched: Hands, spoil: Spoil, words: str) -> None:
    said = untouched.refused("join", spoil(untouched.read("--cluster", "west")), *WEST, "--name", "west")
    assert words in said
    assert ANEW in said


def test_a_token_that_was_used_by_another_cluster(hands: Hands) -> None:
    token = hands.token()
    hands("join", token, "--context", "east", "--approved-within", "1")
    assert "was used for another cluster, east" in hands.refused("join", token, *WEST)
    hands.well("approve", "east", "--context", "hub")
    hands.well("join", token, "--context", "east")
    said = hands.refused("join", token, *WEST)
    assert "it was used, has ended, or is another hub's" in said
    assert hands.on_member("west") == set()


def test_something_else_answers_at_the_hubs_address(untouched: Hands) -> None:
    """As a hub whose authority was renewed, or a man in the middle."""
    token, east = untouched.read("--cluster", "west"), Path(untouched.extra["KUBECONFIG"]).parent / "east" / "pki"
    wrong = written(replace(token, authority=(east / "ca.crt").read_text()))
    said = untouched.refused("join", wrong, *WEST)
    assert "a certificate of another authority than the token's" in said
    assert ANEW in said


def test_a_hub_that_cannot_be_reached(untouched: Hands) -> None:
    token = untouched.read("--cluster", "west")
    untouched.well("stop", "hub")
    try:
        said = untouched.refused("join", written(token), *WEST)
    finally:
        untouched.well("start", "hub")
    assert "cannot be reached" in said
    assert "--proxy" in said


def test_a_proxy_that_is_away(untouched: Hands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    said = untouched.refused("join", untouched.token("--cluster", "west"), *WEST, "--proxy", url)
    assert "cannot be reached" in said


@pytest.mark.requirement("ABOUT-4", "ABOUT-35")
@pytest.mark.parametrize(
    ("property_", "words"),
    [
        pytest.param("region", "write NAME=VALUE", id="without a value"),
        pytest.param("region=", "needs a value", id="with an empty value"),
        pytest.param("region.k8s.io=eu", "Kubernetes' own", id="of Kubernetes"),
        pytest.param("x.kubernetes.io=eu", "Kubernetes' own", id="of Kubernetes too"),
        pytest.param("Region=eu", "not the name of an object", id="that no object is called"),
    ],
)
def test_a_property_that_cannot_be(untouched: Hands, property_: str, words: str) -> None:
    assert words in untouched.refused("join", untouched.token(), *WEST, "--property", property_)


@pytest.mark.parametrize(
    ("works", "words"),
    [
        pytest.param(("nowhere",), "has no namespace nowhere", id="a namespace that is not there"),
        pytest.param(("clusterrole/nobody",), "has no ClusterRole nobody", id="a role that is not there"),
        pytest.param(("clusterrole/view", "default"), "one clusterrole/NAME", id="a role and a namespace"),
        pytest.param(("No_Namespace",), "not a namespace", id="no name"),
    ],
)
def test_works_that_cannot_be(untouched: Hands, works: tuple[str, ...], words: str) -> None:
    options = [part for each in works for part in ("--works", each)]
    assert words in untouched.refused("join", untouched.token("--cluster", "west"), *WEST, *options)


@pytest.mark.requirement("ABOUT-12")
def test_a_name_that_cannot_be(untouched: Hands) -> None:
    assert "is not one DNS label" in untouched.refused("join", untouched.token(), *WEST, "--name", "West.EU")
    assert "kept for Isthmus itself" in untouched.refused("join", untouched.token(), *WEST, "--name", "hub")


def test_push_without_saying_where(untouched: Hands) -> None:
    assert "go together" in untouched.refused("join", untouched.token(), *WEST, "--mode", "push")


async def test_on_a_real_cluster_the_same_is_said_and_nothing_is_written(site: Site, tmp_path: Path) -> None:
    token = read_token(await site.token("--cluster=west"))
    before = await site.objects()
    Authority(tmp_path)
    stranger, away = (tmp_path / "ca.crt").read_text(), f"https://{OUTSIDE}:{free_port()}"
    cases = {
        **{name: (spoil(token), words) for name, (spoil, words) in BAD.items()},
        "wrong authority": (written(replace(token, authority=stranger)), "of another authority than the token's"),
        "no hub there": (written(replace(token, server=away)), "cannot be reached"),
    }
    for name, (text, words) in cases.items():
        done = await site.join(text, "--name=west")
        assert done.code in {1, 2, 3}, name
        assert words in done.err, name
        assert (ANEW if name != "no hub there" else "--proxy") in done.err, name
    assert await site.objects() == before
    await well(site.plane, "token", "revoke", token.id)
    ended = await site.join(written(token))
    assert "does not know this token: it was used, has ended, or is another hub's" in ended.err
    assert await site.objects() < before
