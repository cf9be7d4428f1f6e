"""Which exports count: identity, grants, precedence."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from isthmus.api.isthmus import CLUSTER_LABEL, ExportedService, ExportGrant
from isthmus.api.meta import ObjectMeta
from isthmus.mcs.rules.constituent import constituents, refusal, whole_second
from tests.mcs.rules.examples import (
    clusters_of,
    day,
    export_of,
    exported,
    grant,
    member,
    members,
    port,
    spec_of,
)


@pytest.mark.requirement("MCS-10", "MCS-48")
def test_exports_count_from_oldest_to_youngest() -> None:
    exports = [exported("east", on=3), exported("west", on=1), exported("north", on=2)]
    assert clusters_of(exports, "east", "west", "north") == ["west", "north", "east"]


@pytest.mark.requirement("MCS-49")
def test_equal_ages_are_told_apart_by_the_cluster_id() -> None:
    assert clusters_of([exported("west"), exported("east")], "east", "west") == ["east", "west"]


@pytest.mark.requirement("MCS-49")
def test_fractions_of_a_second_do_not_count() -> None:
    exports = [exported("west", created=day(1)), exported("east", created=day(1) + timedelta(microseconds=9))]
    assert clusters_of(exports, "east", "west") == ["east", "west"]


@pytest.mark.requirement("MCS-48")
def test_no_export_is_older_than_its_clusters_joining() -> None:
    exports = [exported("liar", created=day(-9000)), exported("east", on=2)]
    known = {"liar": member("liar", joined=5), "east": member("east")}
    admitted = constituents(exports, known, ())
    assert [(each.cluster, each.created) for each in admitted.constituents] == [("east", day(2)), ("liar", day(5))]


@pytest.mark.parametrize(
    ("claimed", "want"),
    [
        pytest.param(datetime(2026, 1, 2), day(1), id="no zone: UTC"),  # noqa: DTZ001  # what a member may write
        pytest.param(day(1).astimezone(timezone(timedelta(hours=9))), day(1), id="another zone"),
        pytest.param(
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
            datetime.max.replace(tzinfo=UTC, microsecond=0),
            id="year 10000",
        ),
        pytest.param(
            datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
            datetime.max.replace(tzinfo=UTC, microsecond=0),
            id="year 0 gains nothing",
        ),
    ],
)
def test_any_claimed_time_can_be_compared(claimed: datetime, want: datetime) -> None:
    assert whole_second(claimed) == want
    assert clusters_of([exported("east", created=claimed), exported("west")], "east", "west")


def relabelled(export: ExportedService, **labels: str) -> ExportedService:
    metadata = msgspec.structs.replace(export.metadata, labels={**export.metadata.labels, **labels})
    return msgspec.structs.replace(export, metadata=metadata)


IMPOSTORS = [
    pytest.param(ExportedService(metadata=ObjectMeta(name="east.prod.shop")), "NoSpec", id="nothing inside"),
    pytest.param(
        msgspec.structs.replace(exported("east"), metadata=ObjectMeta(name="west.prod.shop")),
        "NameMismatch",
        id="in another's name",
    ),
    pytest.param(relabelled(exported("east"), **{CLUSTER_LABEL: "west"}), "LabelMismatch", id="another's label"),
    pytest.param(exported("gone"), "UnknownMember", id="no member"),
    pytest.param(exported("east", type="ExternalName"), "UnknownType", id="a type nobody knows"),
    pytest.param(export_of(spec_of("east", name="../shop")), "BadName", id="a name that is no name"),
    pytest.param(export_of(spec_of("east", namespace="a.b")), "BadName", id="a dot in the namespace"),
]


@pytest.mark.requirement("MCS-16")
@pytest.mark.parametrize(("export", "reason"), IMPOSTORS)
def test_an_export_that_is_not_what_it_says_has_no_effect(export: ExportedService, reason: str) -> None:
    admitted = constituents([export, exported("west")], members("east", "west"), ())
    assert [each.cluster for each in admitted.constituents] == ["west"]
    assert [each.reason for each in admitted.rejected] == [reason]


SHOP = (("prod",), ("east",), ("shop",))
GRANTS = [
    pytest.param([], ["east", "west"], id="no grant: all may"),
    pytest.param([grant(("other",), ("east",))], ["east", "west"], id="a namespace that no grant names is open"),
    pytest.param([grant(*SHOP)], ["east"], id="once named, only the listed clusters"),
    pytest.param([grant(("prod",), ("east", "west"))], ["east", "west"], id="no names: every name"),
    pytest.param([grant(("prod",), ("east", "west"), ("cart",))], [], id="only the listed names"),
    pytest.param([grant(("prod",), ())], [], id="no cluster listed: none may"),
    pytest.param([grant(*SHOP), grant(("prod",), ("west",))], ["east", "west"], id="grants add up"),
    pytest.param(
        [grant(("prod",), ("east",), ("cart",)), grant(("prod",), ("west",), ("shop",))],
        ["west"],
        id="cluster and name must meet in one grant",
    ),
    pytest.param([ExportGrant()], ["east", "west"], id="an empty grant names nothing"),
]


@pytest.mark.parametrize(("grants", "want"), GRANTS)
def test_grants_narrow_who_may_export_what(grants: list[ExportGrant], want: list[str]) -> None:
    assert clusters_of([exported("east"), exported("west")], "east", "west", grants=grants) == want
    refused = {cluster for cluster in ("east", "west") if refusal(cluster, "prod", "shop", grants)}
    assert refused == {"east", "west"} - set(want)


def test_a_refusal_says_what_to_do() -> None:
    message = refusal("west", "prod", "shop", [grant(*SHOP)])
    assert "cluster west export prod/shop" in message
    assert "ask an admin of the hub" in message


def test_values_are_sanitised_one_by_one_and_the_rest_counts() -> None:
    export = exported("east", port("http", 80), port("BAD", 81), session_affinity="Sticky")
    (east,) = constituents([export], members("east"), ()).constituents
    assert east.spec.ports == (port("http", 80),)
    assert east.spec.session_affinity == "None"
    assert east.notes == (
        "ports: 'BAD' is no DNS label",
        "sessionAffinity: left out 'Sticky': not None or ClientIP",
    )
