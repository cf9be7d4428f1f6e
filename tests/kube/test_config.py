"""kubeconfigs as kubectl writes and reads them, and each way in which one can be wrong."""

import base64
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from isthmus.api import core
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.kube import kubeconfig as kubeconfigs
from isthmus.kube.client import Client
from isthmus.kube.config import in_cluster, load_kubeconfig
from tests.conftest import Planes
from tests.kube.authority import Authority, written
from tests.kube.scripted import Scripted, page
from tests.real.build import binary


def kubeconfig(cluster: Manifest | None = None, user: Manifest | None = None, **top: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.1:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        **top,
    }


def saved(folder: Path, content: object, name: str = "config") -> Path:
    return written(folder, name, yaml.safe_dump(content).encode())


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# As it should be


def test_the_current_context_is_read(tmp_path: Path) -> None:
    contexts = [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "prod"}}]
    config = load_kubeconfig([saved(tmp_path, kubeconfig(contexts=contexts))])
    assert (config.server, config.context, config.namespace) == ("https://10.0.0.1:6443", "c", "prod")


def test_another_context_may_be_named(tmp_path: Path) -> None:
    content = kubeconfig()
    content["clusters"].append({"name": "k2", "cluster": {"server": "https://10.0.0.2"}})
    content["contexts"].append({"name": "c2", "context": {"cluster": "k2", "user": "u"}})
    assert load_kubeconfig([saved(tmp_path, content)], context="c2").server == "https://10.0.0.2"


def test_of_files_that_say_the_same_the_first_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"clusters": [{"name": "k", "cluster": {"server": "https://first"}}], "current-context": ""}
    second = kubeconfig({"server": "https://second"}) | {"current-context": "c"}
    paths = [saved(tmp_path, first, "1"), tmp_path / "missing", saved(tmp_path, second, "2")]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, paths)))
    assert load_kubeconfig().server == "https://first"
    monkeypatch.setenv("KUBECONFIG", f"::{paths[2]}:{paths[0]}")
    assert load_kubeconfig().server == "https://second"


def test_without_kubeconfig_the_one_at_home_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    saved(tmp_path / ".kube", kubeconfig())
    assert load_kubeconfig().context == "c"


@pytest.mark.skipif(not binary().exists(), reason="no real control plane here. Type: make real")
async def test_certificates_inline_and_in_files_are_the_same(tmp_path: Path, planes: Planes) -> None:
    file = planes.get(0).kubeconfig
    content = yaml.safe_load(file.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    inside = kubeconfig(
        {
            "server": cluster["server"],
            "certificate-authority-data": b64(Path(cluster["certificate-authority"]).read_bytes()),
        },
        {f"{part}-data": b64(Path(user[part]).read_bytes()) for part in ("client-certificate", "client-key")},
    )
    for path in (file, saved(tmp_path, inside)):
        async with Client(load_kubeconfig([path])) as client:
            assert await client.serves(core.SERVICES)


def test_paths_are_seen_from_the_file_that_names_them(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("us")
    (tmp_path / "pki").mkdir()
    written(tmp_path / "pki", "ca.crt", authority.pem)
    written(tmp_path, "us.crt", certificate)
    written(tmp_path, "us.key", key)
    written(tmp_path, "token", b"secret")
    user = {"client-certificate": "us.crt", "client-key": "us.key", "tokenFile": "token"}
    config = load_kubeconfig([saved(tmp_path, kubeconfig({"certificate-authority": "pki/ca.crt"}, user))])
    assert config.trust.authority is not None
    assert config.trust.authority.read() == authority.pem
    assert config.token is not None
    assert config.token.read() == b"secret"


@pytest.mark.parametrize(
    ("user", "headers"),
    [
        ({"token": "secret"}, [("authorization", "Bearer secret")]),
        ({"username": "ann", "password": "p:w"}, [("authorization", "Basic " + b64(b"ann:p:w"))]),
        (
            {"token": "t", "as": "bob", "as-groups": ["x", "y"], "as-user-extra": {"a/b": ["1"]}},
            [
                ("authorization", "Bearer t"),
                ("impersonate-user", "bob"),
                ("impersonate-group", "x"),
                ("impersonate-group", "y"),
                ("impersonate-extra-a/b", "1"),
            ],
        ),
    ],
    ids=["a token", "a password", "in the name of another"],
)
async def test_a_user_shows_who_it_is(tmp_path: Path, user: Manifest, headers: list[tuple[str, str]]) -> None:
    async with Scripted().then(page()) as server:
        path = saved(tmp_path, kubeconfig({"server": server.url}, user))
        async with Client(load_kubeconfig([path])) as client:
            await client.list(core.SERVICES)
    sent = [(name.replace("%2f", "/").replace("%2F", "/"), value) for name, value in server.seen[0].headers]
    assert sorted(pair for pair in sent if pair[0].startswith(("auth", "imp"))) == sorted(headers)


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    user = {"token": "hidden", "exec": None, "as": "x"}
    assert "hidden" not in repr(load_kubeconfig([saved(tmp_path, kubeconfig(user=user))]))
    basic = {"username": "ann", "password": "hidden"}
    assert b64(b"ann:hidden") not in repr(load_kubeconfig([saved(tmp_path, kubeconfig(user=basic))]))


def test_nulls_and_unknown_fields_are_passed_over(tmp_path: Path) -> None:
    content = kubeconfig({"tls-server-name": None, "certificate-authority": ""}, preferences={}, extensions=[{}])
    content["users"] = None
    content["contexts"][0]["context"]["user"] = ""
    assert load_kubeconfig([saved(tmp_path, content)]).server_name == ""


def test_a_server_without_a_scheme_is_understood_as_kubectl_does(tmp_path: Path) -> None:
    plain = saved(tmp_path, kubeconfig({"server": "localhost:8080"}))
    assert load_kubeconfig([plain]).server == "http://localhost:8080"
    secure = saved(tmp_path, kubeconfig({"server": "localhost:6443", "insecure-skip-tls-verify": True}))
    assert load_kubeconfig([secure]).server == "https://localhost:6443"


# As it should not be


AUTHORITY = Authority()
CERTIFICATE, KEY = AUTHORITY.issue("us")
EXPIRED, EXPIRED_KEY = AUTHORITY.issue("us", days=-2)
GOOD = {"client-certificate-data": b64(CERTIFICATE), "client-key-data": b64(KEY)}
OLD = {"client-certificate-data": b64(EXPIRED), "client-key-data": b64(EXPIRED_KEY)}
EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "interactiveMode": "Never"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (kubeconfig(contexts=[]), ["no context 'c'", "there are: none"]),
        (kubeconfig() | {"current-context": "d"}, ["no context 'd'", "there are: c"]),
        (kubeconfig() | {"current-context": None}, ["current-context", "c"]),
        (kubeconfig(clusters=[]), ["contexts[c].context.cluster", "no cluster 'k'"]),
        (kubeconfig(users=[]), ["contexts[c].context.user", "no user 'u'"]),
        (kubeconfig({"server": ""}), ["clusters[k].cluster.server"]),
        (kubeconfig({"server": "ftp://x"}), ["clusters[k].cluster.server", "https://HOST:PORT"]),
        (kubeconfig({"server": "https://[::1"}), ["clusters[k].cluster.server", "https://HOST:PORT"]),
        (kubeconfig({"server": "https://x:123456"}), ["clusters[k].cluster.server", "https://HOST:PORT"]),
        (kubeconfig({"server": 7}), ["clusters[0].cluster.server", "Expected `str`, got `int`"]),
        (kubeconfig({"proxy-url": "socks5://p"}), ["clusters[k].cluster.proxy-url", "http://HOST:PORT"]),
        (kubeconfig({"certificate-authority": "nowhere"}), ["certificate-authority", "nowhere", "No such file"]),
        (kubeconfig({"certificate-authority-data": "!!"}), ["certificate-authority-data", "not base64"]),
        (kubeconfig({"certificate-authority-data": b64(b"hello")}), ["certificate-authority-data", "PEM"]),
        (kubeconfig(user={"client-key-data": b64(KEY)}), ["users[u].user.client-certificate", "not set"]),
        (kubeconfig(user=GOOD | {"client-key-data": b64(EXPIRED_KEY)}), ["client-key-data", "no private key"]),
        (kubeconfig(user=GOOD | {"client-certificate-data": b64(b"x")}), ["client-certificate-data", "PEM"]),
        (kubeconfig(user=OLD), ["users[u].user.client-certificate-data", "expired on", "new kubeconfig"]),
        (kubeconfig(user={"tokenFile": "nowhere"}), ["users[u].user.tokenFile", "nowhere"]),
        (kubeconfig(user={"token": "t", "username": "x"}), ["users[u].user", "token and username"]),
        (kubeconfig(user={"auth-provider": {"name": "oidc"}}), ["users[u].user.auth-provider", "exec"]),
        (kubeconfig(user={"as-groups": ["x"]}), ["users[u].user.as"]),
        (kubeconfig(user={"exec": EXEC | {"apiVersion": "v7"}}), ["users[u].user.exec.apiVersion", "v7"]),
        (kubeconfig(user={"exec": EXEC | {"interactiveMode": ""}}), ["users[u].user.exec.interactiveMode", "Never"]),
        (kubeconfig(user={"exec": {"args": ["x"]}}), ["users[0].user.exec", "command"]),
        ("just a string", ["top level", "Expected `object`"]),
        ([1, 2], ["top level", "Expected `object`"]),
    ],
)
def test_what_is_wrong_is_told_by_file_field_and_next_step(tmp_path: Path, content: object, told: list[str]) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(Invalid) as problem:
        load_kubeconfig([path])
    for part in (str(path), *told):
        assert part in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: b: c", "not YAML"),
        (b"\x00\xff\x7fELF", "not YAML"),
        (b"[" * 50_000, "not YAML"),
        (b"!!python/object/apply:os.system ['true']", "not YAML"),
        (b"- &a [x]\n- *b", "not YAML"),
    ],
    ids=["not YAML", "a binary", "nesting without end", "Python in YAML", "an unknown anchor"],
)
def test_a_file_that_is_not_yaml_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = written(tmp_path, "config", content)
    with pytest.raises(Invalid, match=told) as problem:
        load_kubeconfig([path])
    assert str(path) in str(problem.value)


def test_an_expired_authority_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path, kubeconfig({"certificate-authority-data": b64(Authority(days=-1).pem)}))
    with pytest.raises(Invalid, match="certificate-authority-data: the authority's certificate expired"):
        load_kubeconfig([path])


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfigs, "MAX_FILE", 1 << 20)
    with pytest.raises(Invalid, match="larger than 1 MiB"):
        load_kubeconfig([written(tmp_path, "config", b"#" * (2 << 20))])


def test_a_directory_is_not_a_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot read it"):
        load_kubeconfig([tmp_path])


def test_no_file_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    with pytest.raises(Invalid, match="set KUBECONFIG, or name a file") as problem:
        load_kubeconfig()
    assert str(tmp_path / "b") in str(problem.value)


def test_an_encrypted_key_does_not_ask_for_a_password(tmp_path: Path) -> None:
    locked = AUTHORITY.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    path = saved(tmp_path, kubeconfig(user=GOOD | {"client-key-data": b64(locked)}))
    with pytest.raises(Invalid, match="client-key-data"):
        load_kubeconfig([path])


# In a pod


def service_account(folder: Path) -> Path:
    written(folder, "token", b"pod-token")
    written(folder, "ca.crt", AUTHORITY.pem)
    written(folder, "namespace", b"isthmus-system\n")
    return folder


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_knows_its_cluster(tmp_path: Path, host: str, server: str) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    config = in_cluster(service_account(tmp_path), environ)
    assert (config.server, config.namespace) == (server, "isthmus-system")
    assert config.token is not None
    assert config.token.read() == b"pod-token"


def test_outside_of_a_pod_there_is_no_such_identity(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not in a pod"):
        in_cluster(tmp_path, {})
    with pytest.raises(Invalid, match="token"):
        in_cluster(tmp_path, {"KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "1"})
