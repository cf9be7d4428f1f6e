"""From a profile and a provider file to how a cluster is reached."""

import copy
import json

import msgspec
import pytest

from isthmus.api.inventory import (
    ARGS_EXTENSION,
    ENV_EXTENSION,
    EXEC_EXTENSION,
    AccessCluster,
    AccessProvider,
    ClusterManager,
    ClusterProfile,
    ClusterProfileSpec,
    ClusterProfileStatus,
    Extension,
)
from isthmus.api.meta import Condition, ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.inventory.rules.access import Access, access, is_ready, parsed

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
SERVER = "https://east.example:6443"


def way(name: str, **extensions: object) -> AccessProvider:
    """A provider; the extensions are `exec`, `args` and `env`."""
    names = {"exec": EXEC_EXTENSION, "args": ARGS_EXTENSION, "env": ENV_EXTENSION}
    found = tuple(Extension(name=names[key], extension=value) for key, value in extensions.items())
    return AccessProvider(name=name, cluster=AccessCluster(server=SERVER, extensions=found))


def profile(*ways: AccessProvider, old: tuple[AccessProvider, ...] = (), healthy: str = "True") -> ClusterProfile:
    condition = {"type": "ControlPlaneHealthy", "status": healthy, "reason": "R", "message": ""}
    conditions = msgspec.convert([condition | {"lastTransitionTime": "2026-01-01T00:00:00Z"}], tuple[Condition, ...])
    return ClusterProfile(
        metadata=ObjectMeta(name="east", namespace="prod"),
        spec=ClusterProfileSpec(cluster_manager=ClusterManager(name="m")),
        status=ClusterProfileStatus(conditions=conditions, access_providers=ways, credential_providers=old),
    )


def entry(
    name: str, args: list[str] | None = None, env: Manifest | None = None, policies: Manifest | None = None
) -> Manifest:
    variables = [{"name": key, "value": value} for key, value in (env or {}).items()]
    config = {"apiVersion": V1, "command": "plug", "args": args, "env": variables or None, "provideClusterInfo": True}
    return {"name": name, "execConfig": config, **(policies or {})}


def chosen(of: ClusterProfile, *entries: Manifest) -> Access:
    return access(of, parsed(json.dumps({"providers": list(entries)}).encode(), origin="file"))


@pytest.mark.requirement("CRED-2")
def test_a_provider_file_is_json_and_unknown_keys_mean_nothing() -> None:
    assert parsed(b"{}", origin="file") == ()
    assert parsed(b'{"providers": null, "more": 1}', origin="file") == ()
    whole = entry("a") | {"new": True}
    whole["execConfig"] |= {"installHint": "get it", "interactiveMode": "Always", "new": True}
    (found,) = parsed(json.dumps({"providers": [whole]}).encode(), origin="file")
    assert found.exec_config is not None
    assert (found.name, found.exec_config.command, found.exec_config.args) == ("a", "plug", None)


@pytest.mark.requirement("CRED-2")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"providers: []", "JSON is malformed"),
        (b"", "truncated"),
        (b'{"providers": [{}]}', "name"),
        (b'{"providers": [{"name": "a", "execConfig": {"apiVersion": "v1", "command": "x"}}]}', "apiVersion 'v1'"),
        (json.dumps({"providers": [{"name": "a", "execConfig": {"apiVersion": V1, "command": ""}}]}).encode(), "empty"),
        (b"[" * 100_000, "file:"),
        (b'{"providers": "\xff"}', "file:"),
    ],
)
def test_what_is_no_provider_file_is_refused_with_its_name(content: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=r"^file: ") as refused:
        parsed(content, origin="file")
    assert said in str(refused.value)


@pytest.mark.requirement("CRED-1", "CRED-3")
def test_the_order_of_the_file_decides() -> None:
    offers = profile(way("a"), way("b"))
    assert chosen(offers, entry("x"), entry("b"), entry("a")).provider == "b"
    assert chosen(offers, entry("a"), entry("b")).provider == "a"


@pytest.mark.requirement("INV-25")
def test_the_deprecated_list_counts_and_loses() -> None:
    old = AccessProvider(name="a", cluster=AccessCluster(server="https://old.example"))
    assert chosen(profile(old=(old,)), entry("a")).cluster.server == "https://old.example"
    assert chosen(profile(way("a"), old=(old,)), entry("a")).cluster.server == SERVER


@pytest.mark.parametrize(
    ("of", "entries", "said"),
    [
        pytest.param(profile(way("a")), [entry("b")], "offers a, and the provider file has b", id="none in common"),
        pytest.param(profile(), [], "no access provider", id="nothing on either side"),
        pytest.param(profile(way("a")), [{"name": "a"}], "no execConfig", id="no program"),
        pytest.param(profile(AccessProvider(name="a")), [entry("a")], "names no server", id="no server"),
    ],
)
def test_what_does_not_fit_is_said(of: ClusterProfile, entries: list[Manifest], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        chosen(of, *entries)


@pytest.mark.requirement("CRED-4", "CRED-5", "CRED-6")
@pytest.mark.parametrize("given", [["y", "x"], {"args": ["y", "x"]}], ids=["a list", "an object"])
@pytest.mark.parametrize(
    ("policy", "args"),
    [
        ({}, ("x",)),
        ({"profileSourcedCLIArgsPolicy": "Ignore"}, ("x",)),
        ({"profileSourcedCLIArgsPolicy": "Append"}, ("x", "y", "x")),
    ],
)
def test_arguments_of_the_profile_are_appended_if_the_file_says_so(
    policy: dict[str, str], args: tuple[str, ...], given: object
) -> None:
    assert chosen(profile(way("a", args=given)), entry("a", ["x"], policies=policy)).args == args


@pytest.mark.requirement("CRED-4", "CRED-5", "CRED-10")
@pytest.mark.parametrize(
    ("policy", "env"),
    [
        ({}, (("B", "file"), ("C", "file"))),
        ({"profileSourcedEnvVarsPolicy": "Ignore"}, (("B", "file"), ("C", "file"))),
        ({"profileSourcedEnvVarsPolicy": "AppendIfNotExists"}, (("A", "profile"), ("B", "file"), ("C", "file"))),
        ({"profileSourcedEnvVarsPolicy": "Replace"}, (("A", "profile"), ("B", "profile"), ("C", "file"))),
    ],
)
def test_of_two_environments_the_file_says_which_wins(policy: dict[str, str], env: tuple[tuple[str, str], ...]) -> None:
    of = profile(way("a", env={"B": "profile", "A": "profile"}))
    assert chosen(of, entry("a", env={"C": "file", "B": "file"}, policies=policy)).env == env


@pytest.mark.requirement("CRED-5")
@pytest.mark.parametrize(
    ("extensions", "policy", "said"),
    [
        ({"args": ["x"]}, {"profileSourcedCLIArgsPolicy": "Prepend"}, "'Prepend' is none of"),
        ({"env": {"A": "1"}}, {"profileSourcedEnvVarsPolicy": "Append"}, "'Append' is none of"),
        ({"args": {"args": [1]}}, {"profileSourcedCLIArgsPolicy": "Append"}, "no list of strings"),
        ({"args": "x"}, {"profileSourcedCLIArgsPolicy": "Append"}, "no list of strings"),
        ({"env": {"A": 1}}, {"profileSourcedEnvVarsPolicy": "Replace"}, "no map of strings"),
        ({"env": ["A"]}, {"profileSourcedEnvVarsPolicy": "Replace"}, "no map of strings"),
    ],
)
def test_nonsense_in_policies_and_extensions_is_refused(
    extensions: dict[str, object], policy: dict[str, str], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        chosen(profile(way("a", **extensions)), entry("a", policies=policy))
    # It matters only where the profile has something to add.
    assert chosen(profile(way("a")), entry("a", policies=policy)).args == ()


@pytest.mark.requirement("CRED-7", "CRED-9", "INV-26")
def test_of_the_extensions_a_plugin_is_told_its_own_verbatim() -> None:
    config = {"clusterName": "east", "deep": {"list": [1, None, "x"]}}
    of = profile(way("a", exec=config, args={"args": ["x"]}, env={"A": "1"}))
    assert chosen(of, entry("a")).info == {"server": SERVER, "config": config}
    assert chosen(profile(way("a")), entry("a")).info == {"server": SERVER}
    silent = entry("a")
    silent["execConfig"]["provideClusterInfo"] = False
    assert chosen(of, silent).info is None
    twice = AccessCluster(server=SERVER, extensions=(Extension(name="e", extension={}),) * 2)
    with pytest.raises(Invalid, match="extension e twice"):
        chosen(profile(AccessProvider(name="a", cluster=twice)), entry("a"))


@pytest.mark.requirement("CRED-9", "CRED-11")
def test_a_plugin_is_told_all_that_the_profile_says_of_the_cluster() -> None:
    cluster = AccessCluster(
        server=SERVER,
        certificate_authority_data="Q0E=",
        certificate_authority="/no/path",
        tls_server_name="api.example",
        insecure_skip_tls_verify=True,
        proxy_url="http://proxy:3128",
        disable_compression=True,
    )
    assert chosen(profile(AccessProvider(name="a", cluster=cluster)), entry("a")).info == {
        "server": SERVER,
        "certificate-authority-data": "Q0E=",
        "tls-server-name": "api.example",
        "insecure-skip-tls-verify": True,
        "proxy-url": "http://proxy:3128",
        "disable-compression": True,
    }


@pytest.mark.requirement("CRED-10", "INV-29")
def test_neither_file_nor_profile_changes_however_often_they_are_used() -> None:
    of = profile(way("a", args={"args": ["y"]}, env={"B": "1", "A": "2"}))
    policies = {"profileSourcedCLIArgsPolicy": "Append", "profileSourcedEnvVarsPolicy": "Replace"}
    providers = parsed(json.dumps({"providers": [entry("a", ["x"], policies=policies)]}).encode(), origin="file")
    before = copy.deepcopy((of, providers))
    found = [access(of, providers) for _ in range(3)]
    assert (of, providers) == before
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("healthy", "ready"), [("True", True), ("False", False), ("Unknown", False)])
def test_only_the_health_of_the_control_plane_makes_a_cluster_ready(healthy: str, *, ready: bool) -> None:
    assert is_ready(profile(healthy=healthy)) is ready
    assert not is_ready(msgspec.structs.replace(profile(), status=None))
