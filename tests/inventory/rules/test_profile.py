"""What a member's ClusterProfile says."""

import base64
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from isthmus.api.inventory import CONTROL_PLANE_HEALTHY, JOINED, ClusterProfile, ClusterProfileStatus, Property
from isthmus.api.isthmus import SILENT, ClusterFacts, Health, Member, MemberSpec, MemberStatus, Probe
from isthmus.api.meta import Condition, ObjectMeta
from isthmus.api.names import is_label_value
from isthmus.inventory.rules.profile import (
    address_problem,
    cluster_set_of,
    is_urgent,
    manager_of,
    profile,
    troubles,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = PEM + "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPEC = MemberSpec(id="east", set="prod", server="https://east.example:6443", certificate_authority=encoded(PEM))
STATUS = MemberStatus(kubernetes_version="v1.36.3", probe=Probe(answered=True, at=NOW), observed_at=NOW)


def member(spec: MemberSpec | None = SPEC, status: MemberStatus | None = STATUS, **metadata: object) -> Member:
    meta = ObjectMeta(name="east", namespace="prod", uid="u-1")
    return Member(metadata=msgspec.structs.replace(meta, **metadata), spec=spec, status=status)


def changed(**fields: object) -> Member:
    """A healthy member with some of its status changed."""
    return member(status=msgspec.structs.replace(STATUS, **fields))


def status_of(found: ClusterProfile) -> ClusterProfileStatus:
    assert found.status is not None
    return found.status


def condition(found: ClusterProfile, kind: str) -> Condition:
    return next(each for each in status_of(found).conditions if each.type == kind)


def values(found: ClusterProfile) -> dict[str, str]:
    return {each.name: each.value for each in status_of(found).properties}


def silent(reason: str = "no heartbeat since 11:59:30") -> MemberSpec:
    return msgspec.structs.replace(SPEC, health=Health(state=SILENT, since=NOW, reason=reason))


@pytest.mark.requirement("INV-15", "INV-16", "INV-30", "INV-31", "INV-32")
@pytest.mark.parametrize(
    ("of", "healthy", "joined"),
    [
        pytest.param(member(), "True/Healthy", "True/Joined", id="its address answers"),
        pytest.param(member(status=None), "Unknown/NoStatus", "False/Pending", id="its agent has not reported"),
        pytest.param(changed(probe=None), "Unknown/NoStatus", "True/Joined", id="nobody has tried the address"),
        pytest.param(
            changed(probe=Probe(answered=False, at=NOW, problem="refused")),
            "False/Unhealthy",
            "True/Joined",
            id="its address does not answer",
        ),
        pytest.param(
            member(silent()), "Unknown/HeartbeatLost", "True/Joined", id="it is silent, whatever it said last"
        ),
        pytest.param(
            member(MemberSpec(id="east", set="prod")), "Unknown/NoStatus", "True/Joined", id="it has no address"
        ),
        pytest.param(
            member(msgspec.structs.replace(SPEC, server="http://east.example")),
            "Unknown/NoStatus",
            "True/Joined",
            id="its address is of no use",
        ),
        pytest.param(
            member(msgspec.structs.replace(SPEC, id="west")), "True/Healthy", "False/Rejected", id="it is somebody else"
        ),
        pytest.param(member(deletion_timestamp=NOW), "True/Healthy", "False/Left", id="it is leaving"),
        pytest.param(member(spec=None), "Unknown/NoStatus", "False/Rejected", id="it is nobody"),
    ],
)
def test_the_conditions(of: Member, healthy: str, joined: str) -> None:
    found = profile(of, None, now=NOW)
    told = [f"{each.status}/{each.reason}" for each in status_of(found).conditions]
    assert told == [healthy, joined]
    assert all(each.message for each in status_of(found).conditions)
    # Who is said to be healthy can be reached.
    assert healthy != "True/Healthy" or status_of(found).access_providers


@pytest.mark.requirement("INV-15", "INV-22")
def test_a_condition_keeps_its_moment_until_its_status_changes() -> None:
    first = profile(member(), None, now=NOW)
    again = profile(member(), first, now=LATER)
    assert again == first
    lost = profile(member(silent()), first, now=LATER)
    assert condition(lost, CONTROL_PLANE_HEALTHY).last_transition_time == NOW
    other = profile(member(silent("another reason")), lost, now=LATER + timedelta(hours=1))
    assert condition(other, CONTROL_PLANE_HEALTHY).last_transition_time == NOW
    assert condition(other, CONTROL_PLANE_HEALTHY).message != condition(lost, CONTROL_PLANE_HEALTHY).message
    back = profile(member(), other, now=LATER)
    assert condition(back, CONTROL_PLANE_HEALTHY).last_transition_time == LATER
    assert condition(back, JOINED).last_transition_time == NOW


@pytest.mark.requirement("INV-17", "INV-18", "INV-20", "ABOUT-37")
def test_properties_are_the_clusters_own_words_and_ours_where_it_has_none() -> None:
    facts = ClusterFacts(provider="aws", distribution="eks", zones=("a", "b"), nodes=3, cpu=12, memory=48)
    mirrored = {"tier": " gold ", "nodes.isthmus.dev": "many", "cluster.clusterset.k8s.io": "east"}
    found = profile(changed(properties=mirrored, facts=facts, region="eu-west-1"), None, now=NOW)
    assert values(found) == {
        "cluster.clusterset.k8s.io": "east",
        "cpu.isthmus.dev": "12",
        "distribution.isthmus.dev": "eks",
        "memory.isthmus.dev": "48Gi",
        "nodes.isthmus.dev": "many",
        "provider.isthmus.dev": "aws",
        "region.isthmus.dev": "eu-west-1",
        "tier": " gold ",
        "zones.isthmus.dev": "a,b",
    }
    version = status_of(found).version
    assert version is not None
    assert version.kubernetes == "v1.36.3"


@pytest.mark.requirement("INV-18", "INV-19")
def test_a_property_that_was_left_out_is_not_replaced_by_ours() -> None:
    left_out = changed(left_out=("nodes.isthmus.dev",), facts=ClusterFacts(nodes=3))
    assert values(profile(left_out, None, now=NOW)) == {}
    (trouble,) = troubles(left_out)
    assert trouble[0] == "PropertiesLeftOut"
    assert "nodes.isthmus.dev" in trouble[1]


def test_what_no_profile_may_hold_is_dropped_whoever_said_it() -> None:
    hostile = {"": "x", "empty": "", "long": "x" * 1025, "n" * 254: "x", "good": "x"}
    assert values(profile(changed(properties=hostile), None, now=NOW)) == {"good": "x"}


@pytest.mark.requirement("INV-22")
def test_a_value_that_did_not_change_keeps_the_moment_of_its_observation() -> None:
    first = profile(changed(properties={"a": "1", "b": "1"}), None, now=NOW)
    moved = changed(properties={"a": "1", "b": "2"}, observed_at=LATER)
    assert status_of(profile(moved, first, now=LATER)).properties == (
        Property(name="a", value="1", last_observed_time=NOW),
        Property(name="b", value="2", last_observed_time=LATER),
    )
    assert profile(changed(properties={"a": "1", "b": "1"}, observed_at=LATER), first, now=LATER) == first


def test_a_moment_that_utc_does_not_have_is_not_handed_on() -> None:
    never = datetime.fromisoformat("9999-12-31T23:59:59-14:00")
    forged = status_of(profile(changed(properties={"a": "1"}, observed_at=never), None, now=NOW))
    assert forged.properties == (Property(name="a", value="1", last_observed_time=NOW),)


@pytest.mark.requirement("INV-23", "INV-24", "INV-25", "INV-26", "INV-27", "CRED-7", "CRED-8")
def test_access_is_the_address_its_authority_and_where_a_secret_may_be() -> None:
    found = profile(member(), None, now=NOW)
    wire = msgspec.json.decode(msgspec.json.encode(found))["status"]
    assert "credentialProviders" not in wire
    cluster = {"server": SPEC.server, "certificate-authority-data": SPEC.certificate_authority}

    def extensions(config: dict[str, str]) -> list[object]:
        return [{"name": "client.authentication.k8s.io/exec", "extension": config}]

    assert wire["accessProviders"] == [
        {"name": "secretreader", "cluster": cluster | {"extensions": extensions({"clusterName": "east"})}},
        {
            "name": "kubeconfig-secretreader",
            "cluster": cluster | {"extensions": extensions({"name": "east", "key": "kubeconfig"})},
        },
    ]


@pytest.mark.requirement("INV-23", "INV-26", "CRED-8")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"server": "http://east.example:6443"}, "not of the form"),
        ({"server": "east.example:6443"}, "not of the form"),
        ({"server": "https://"}, "not of the form"),
        ({"server": "https://east.example:99999"}, "no URL"),
        ({"server": "https://[::1"}, "no URL"),
        ({"server": "https://admin:secret@east.example"}, "not of the form"),
        ({"server": "https://east.example?token=secret"}, "not of the form"),
        ({"proxy_url": "socks5://tunnel.example"}, "its proxy"),
        ({"proxy_url": "http://tunnel.example:port"}, "its proxy"),
        ({"certificate_authority": "no base64!"}, "not PEM in base64"),
        ({"certificate_authority": encoded("nonsense")}, "other than certificates"),
        ({"certificate_authority": encoded(KEY)}, "other than certificates"),
    ],
)
def test_no_secret_and_no_useless_address_is_published(fields: dict[str, str], said: str) -> None:
    spec = msgspec.structs.replace(SPEC, **fields)
    assert said in address_problem(spec)
    assert status_of(profile(member(spec), None, now=NOW)).access_providers == ()
    assert [reason for reason, _ in troubles(member(spec))] == ["AccessNotPublished"]


@pytest.mark.requirement("INV-26")
def test_the_proxy_of_a_member_is_published_with_its_address() -> None:
    spec = msgspec.structs.replace(SPEC, proxy_url="http://east@tunnel.example:8132")
    for provider in status_of(profile(member(spec), None, now=NOW)).access_providers:
        assert provider.cluster is not None
        assert (provider.cluster.server, provider.cluster.proxy_url) == (SPEC.server, spec.proxy_url)


@pytest.mark.requirement("INV-1", "INV-2", "INV-4", "INV-13", "INV-30")
def test_the_profile_is_its_members_and_its_managers() -> None:
    found = profile(member(), None, now=NOW)
    assert (found.metadata.namespace, found.metadata.name) == ("prod", "east")
    assert found.spec.cluster_manager.name == "isthmus-prod" == found.metadata.labels["x-k8s.io/cluster-manager"]
    assert found.spec.display_name == ""
    (owner,) = found.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid) == ("Member", "east", "u-1")


@pytest.mark.requirement("INV-2", "INV-4")
def test_a_managers_name_is_a_label_value_and_no_other_sets() -> None:
    names = {manager_of(cluster_set) for cluster_set in ("a" * 62 + "b", "a" * 63, "prod")}
    assert len(names) == 3
    assert all(is_label_value(name) for name in names)


@pytest.mark.requirement("INV-9", "INV-11")
def test_the_cluster_set_is_read_by_either_key() -> None:
    go, kep = "multicluster.x-k8s.io/clusterset", "clusterset.multicluster.x-k8s.io"
    assert cluster_set_of({go: "a"}) == cluster_set_of({kep: "a"}) == cluster_set_of({go: "a", kep: "b"}) == "a"
    # Without one it is an inventory, and no ClusterSet.
    assert cluster_set_of({"other": "a"}) == ""


@pytest.mark.requirement("INV-21")
def test_what_consumers_wait_for_is_urgent_and_the_rest_is_not() -> None:
    first = profile(member(), None, now=NOW)
    assert is_urgent(first, None)
    assert is_urgent(profile(member(silent()), first, now=NOW), first)
    moved = member(msgspec.structs.replace(SPEC, server="https://elsewhere.example"))
    assert is_urgent(profile(moved, first, now=NOW), first)
    assert not is_urgent(profile(changed(properties={"a": "1"}), first, now=NOW), first)
