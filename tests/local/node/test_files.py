"""A pod's files on the node."""

import stat
from pathlib import Path

import pytest

from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.local.node.files import File, PodFiles, Surroundings, etc_files, write_tree
from isthmus.local.node.sources import OWN_TOKEN, Sources
from tests.local.node.pods import facts, pod

AROUND = Surroundings(["10.1.128.10"], b"authority")
SOURCES = Sources(config_maps={"settings": {"a": "1"}}, secrets={"key": {"k": b"\xff"}}, tokens={OWN_TOKEN: "signed"})


def written(tmp_path: Path, *volumes: Manifest) -> Path:
    files = PodFiles(tmp_path / "u-1")
    files.write(facts(pod({"volumes": list(volumes)}, labels={"app": "shop"})), SOURCES, AROUND)
    return files.folder


def test_a_folder_is_made_to_hold_exactly_the_files(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": File(b"1"), "deep/b": File(b"2", 0o600)})
    before = (tmp_path / "a").stat().st_ino
    write_tree(tmp_path, {"a": File(b"1"), "c": File(b"3")})
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {"a": b"1", "c": b"3"}
    assert (tmp_path / "a").stat().st_ino == before


def test_volumes_hold_what_their_sources_hold(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {"name": "one", "secret": {"secretName": "key", "defaultMode": 0o400, "items": [{"key": "k", "path": "x/y"}]}},
        {"name": "two", "projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "key"}}]}},
        {"name": "three", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "four", "emptyDir": {}},
    )
    secret = folder / "volumes" / "one" / "x" / "y"
    assert (secret.read_bytes(), stat.S_IMODE(secret.stat().st_mode)) == (b"\xff", 0o400)
    assert {path.name for path in (folder / "volumes" / "two").iterdir()} == {"a", "k"}
    assert (folder / "volumes" / "three" / "n").read_text() == "shop-0"
    assert not list((folder / "volumes" / "four").iterdir())
    account = folder / "serviceaccount"
    assert {path.name: path.read_text() for path in account.iterdir()} == {
        "token": "signed", "ca.crt": "authority", "namespace": "prod"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("volume", "want"),
    [
        pytest.param(
            {"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}},
            "non-existent config key: z",
            id="no key",
        ),
        pytest.param(
            {"configMap": {"name": "settings", "items": [{"key": "a", "path": "../a"}]}},
            "within the volume",
            id="a path that leads out",
        ),
        pytest.param(
            {"hostPath": {"path": "/no/such/path", "type": "Directory"}},
            "/no/such/path is not there",
            id="no such path",
        ),
    ],
)
def test_what_cannot_be_made_is_named(tmp_path: Path, volume: Manifest, want: str) -> None:
    with pytest.raises(Invalid, match=want):
        written(tmp_path, {"name": "v"} | volume)


def test_names_are_configured_as_the_kubelet_does() -> None:
    config = {"searches": ["example.com"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    of = facts(pod({"subdomain": "peers", "dnsConfig": config}))
    found = etc_files(of, ["10.1.128.10"])
    assert found["resolv.conf"].content.decode().splitlines() == [
        "nameserver 10.1.128.10",
        "search prod.svc.cluster.local svc.cluster.local cluster.local example.com",
        "options ndots:2 edns0",
    ]
    assert "10.1.0.2\tshop-0.peers.prod.svc.cluster.local\tshop-0" in found["hosts"].content.decode()
    own = etc_files(facts(pod({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}})), ["10.1.128.10"])
    assert own["resolv.conf"].content == b"nameserver 192.0.2.1\n"
