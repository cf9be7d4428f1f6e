"""A ready client for a cluster of an inventory."""

import base64
import json
import sys
from pathlib import Path

import msgspec
import pytest

from isthmus.api.core import NAMESPACES
from isthmus.api.inventory import AccessCluster, AccessProvider, ClusterProfile
from isthmus.errors import Invalid, Refused, Unreachable
from isthmus.install.grant import revoke
from isthmus.inventory import Providers, client_for, config_for, is_ready, read_providers
from isthmus.kit.metrics import Durations, Meters
from isthmus.kube.credentials import FETCHES, SECONDS
from isthmus.testing.waiting import eventually
from tests.fleets import MakeFleet
from tests.inventory.access import V1, Consumer
from tests.inventory.controllers.test_profiles import QUICK, publish, wait_healthy
from tests.inventory.rules.test_access import SERVER, profile, way


def saved(folder: Path, **config: object) -> Path:
    """A provider file with one entry, `a`."""
    path = folder / "providers.json"
    entry = {"name": "a", "execConfig": {"apiVersion": V1, "command": "plug", "provideClusterInfo": True} | config}
    path.write_text(json.dumps({"providers": [entry]}))
    return path


def program(folder: Path, body: str) -> str:
    """A plugin in Python."""
    path = folder / "plugin"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.requirement("INV-33", "CRED-9", "CRED-15")
async def test_python_programs_get_a_ready_client(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        consumer = Consumer(fleet, tmp_path)
        await consumer.settle()
        await publish(fleet, "east")
        wanted = await consumer.granted("east", role="view")
        found = await wait_healthy(fleet, "east")
        assert is_ready(found)
        providers = read_providers(consumer.provider_file("secretreader"))
        async with client_for(found, providers) as client:
            assert (await client.get(NAMESPACES, "default")).metadata.name == "default"
            # What it may do there, the member's admin said.
            with pytest.raises(Refused):
                await client.create(NAMESPACES, {"metadata": {"name": "mine"}})
            await revoke(fleet["east"].client, fleet.hub.client, wanted)

            async def shut_out() -> bool:
                try:
                    await client.get(NAMESPACES, "default")
                except (Refused, Unreachable):
                    return True
                return False

            await eventually(shut_out)


@pytest.mark.requirement("CRED-11", "INV-26", "INV-27")
def test_all_that_a_profile_says_of_the_way_is_heeded(tmp_path: Path) -> None:
    cluster = AccessCluster(
        server=f"{SERVER}/",
        certificate_authority_data=base64.b64encode(b"PEM").decode(),
        tls_server_name="api.example",
        insecure_skip_tls_verify=False,
        proxy_url="http://relay.example:3128",
        disable_compression=True,
    )
    config = config_for(profile(AccessProvider(name="a", cluster=cluster)), read_providers(saved(tmp_path)))
    assert (config.server, config.server_name, config.proxy) == (SERVER, "api.example", "http://relay.example:3128")
    assert config.compression is False
    assert config.trust.authority is not None
    assert config.trust.authority.read() == b"PEM"
    bare = config_for(profile(way("a")), read_providers(saved(tmp_path)))
    assert (bare.proxy, bare.trust.authority, bare.compression) == ("", None, True)
    insecure = msgspec.structs.replace(cluster, certificate_authority_data="", insecure_skip_tls_verify=True)
    unsafe = config_for(profile(AccessProvider(name="a", cluster=insecure)), read_providers(saved(tmp_path)))
    assert unsafe.trust.insecure


@pytest.mark.requirement("CRED-11")
def test_a_relative_command_begins_at_the_file_only_if_told_so(tmp_path: Path) -> None:
    def command(of: str, *, relative: bool) -> str:
        providers = read_providers(saved(tmp_path, command=of), relative=relative)
        plugin = config_for(profile(way("a")), providers).plugin
        assert plugin is not None
        return plugin.command

    assert command("./plug", relative=False) == "./plug"
    assert command("./plug", relative=True) == str(tmp_path / "plug")
    assert command("plug", relative=True) == "plug"
    assert command("/bin/plug", relative=True) == "/bin/plug"


@pytest.mark.requirement("CRED-13", "CRED-9")
async def test_a_plugin_that_hangs_is_ended_and_none_asks_a_person(tmp_path: Path) -> None:
    config = saved(tmp_path, command=program(tmp_path, "time.sleep(600)"), interactiveMode="Always")
    plugin = config_for(profile(way("a")), read_providers(config, patience=0.5)).plugin
    assert plugin is not None
    assert plugin.mode == "Never"
    with pytest.raises(Unreachable, match=r"within 0\.5 s"):
        await plugin.run()
    assert read_providers(config).patience == 60


@pytest.mark.requirement("CRED-13", "CRED-15")
async def test_a_plugin_runs_without_a_shell_and_what_it_prints_is_told_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = "assert sys.stdin.read() == '' and sys.argv[1:] == ['$(id)', ';']\nprint('hush-hush')"
    path = saved(tmp_path, command=program(tmp_path, body), args=["$(id)", ";"])
    plugin = config_for(profile(way("a")), read_providers(path)).plugin
    assert plugin is not None
    with pytest.raises(Invalid, match="printed no ExecCredential") as refused:
        await plugin.run()
    assert "hush" not in str(refused.value) + caplog.text


@pytest.mark.requirement("CRED-14")
async def test_fetches_are_counted_by_plugin_and_outcome(tmp_path: Path) -> None:
    meters = Meters()
    answer = json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": {"token": "t"}})
    paths = [tmp_path / "good", tmp_path / "bad"]
    for path, body in zip(paths, (f"print({answer!r})", "sys.exit(1)"), strict=True):
        path.mkdir()
        saved(path, command=program(path, body))
    nowhere = AccessProvider(name="a", cluster=AccessCluster(server="http://127.0.0.1:9"))
    with meters.gathering():
        clients = [client_for(profile(nowhere), read_providers(path / "providers.json")) for path in paths]
    for client in clients:
        async with client:
            with pytest.raises(Unreachable):
                await client.raw("POST", "/")
    totals = meters.totals()
    assert totals[FETCHES] == {("a", "done"): 1, ("a", "failed"): 1}
    (took,) = totals[SECONDS].values()
    assert isinstance(took, Durations)
    assert sum(took.counts) == 2


def test_an_authority_that_is_none_is_refused(tmp_path: Path) -> None:
    broken = AccessCluster(server=SERVER, certificate_authority_data="no base64!")
    with pytest.raises(Invalid, match="not base64"):
        config_for(profile(AccessProvider(name="a", cluster=broken)), read_providers(saved(tmp_path)))


def test_a_provider_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.json"):
        read_providers(tmp_path / "none.json")


def test_a_profile_without_status_offers_nothing(tmp_path: Path) -> None:
    empty: ClusterProfile = msgspec.structs.replace(profile(), status=None)
    with pytest.raises(Invalid, match="no access provider"):
        client_for(empty, Providers(()))
