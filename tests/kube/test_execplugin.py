"""Credential plugins are programs of others: they lie, hang, fork, shout, or are not there."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from isthmus import errors
from isthmus.api import core
from isthmus.api.scheme import Manifest
from isthmus.kit.clock import FakeClock
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.credentials import Credentials
from isthmus.kube.execplugin import VERSIONS, Plugin
from tests.kube.authority import Authority
from tests.kube.scripted import Answer, Reply, Scripted, Seen, page, soon, status
from tests.kube.test_config import b64, kubeconfig, saved


def program(folder: Path, body: str) -> str:
    """A plugin in Python; `runs` in its folder counts how often it ran."""
    path = folder / "plugin"
    counting = f"open({str(folder / 'runs')!r}, 'a').write('x')"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{counting}\n{body}\n")
    path.chmod(0o755)
    return str(path)


def printing(version: str = VERSIONS[0], **status: object) -> str:
    answer = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    return f"print({json.dumps(json.dumps(answer))})"


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text())


async def test_a_plugin_gets_what_the_kubeconfig_says(tmp_path: Path) -> None:
    report = tmp_path / "report"
    program(
        tmp_path,
        f"info = os.environ['KUBERNETES_EXEC_INFO']\n"
        f"facts = dict(info=json.loads(info), args=sys.argv[1:], extra=os.environ['EXTRA'], tty=sys.stdin.isatty())\n"
        f"open({str(report)!r}, 'w').write(json.dumps(facts))\n" + printing(token="t0"),
    )
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    exec_ = {
        "apiVersion": VERSIONS[0],
        "command": "./plugin",
        "args": ["get", "token"],
        "env": [{"name": "EXTRA", "value": "yes"}],
        "provideClusterInfo": True,
        "interactiveMode": "IfAvailable",
    }
    async with Scripted().then(page()) as server:
        cluster = {"server": server.url, "tls-server-name": "n", "extensions": [extension]}
        path = saved(tmp_path, kubeconfig(cluster, {"exec": exec_}))
        async with Client(load_kubeconfig([path])) as client:
            await client.list(core.SERVICES)
            await client.list(core.SERVICES)
        assert [seen.header("authorization") for seen in server.seen] == ["Bearer t0"] * 2
        facts = json.loads(report.read_text())
        assert facts["args"] == ["get", "token"]
        assert facts["extra"] == "yes"
        assert facts["info"] == {
            "apiVersion": VERSIONS[0],
            "kind": "ExecCredential",
            "spec": {
                "interactive": False,
                "cluster": {"server": server.url, "tls-server-name": "n", "config": {"audience": "x"}},
            },
        }
    assert runs(tmp_path) == 1


async def credentials(plugin: Plugin, clock: FakeClock, tmp_path: Path) -> Credentials:
    config = load_kubeconfig([saved(tmp_path, kubeconfig())])
    return Credentials(type(config)(config.server, plugin=plugin), clock)


async def test_credentials_are_kept_until_they_expire(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    until = (clock.now() + timedelta(minutes=10)).isoformat()
    plugin = Plugin("exec", program(tmp_path, printing(token="t", expirationTimestamp=until)))
    kept = await credentials(plugin, clock, tmp_path)
    first = await kept.identity()
    await clock.advance(9 * 60)
    assert await kept.identity() is first
    assert runs(tmp_path) == 1
    await clock.advance(55)
    assert await kept.identity() is not first
    assert runs(tmp_path) == 2


async def test_a_refused_token_is_asked_for_once_more(tmp_path: Path) -> None:
    counted = "n = len(open(os.path.dirname(sys.argv[0]) + '/runs').read())\n"
    answer = (
        '{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": {"token": "t%d"}}'
    )
    command = program(tmp_path, counted + f"print({answer!r} % n)")
    exec_ = {"apiVersion": VERSIONS[1], "command": command}

    async def only_second(seen: Seen, reply: Reply) -> None:
        good: Answer = page()
        await (good if seen.header("authorization") == "Bearer t2" else status(401))(seen, reply)

    async with Scripted().then(only_second) as server:
        path = saved(tmp_path, kubeconfig({"server": server.url}, {"exec": exec_}))
        async with Client(load_kubeconfig([path])) as client:
            await client.list(core.SERVICES)
            await client.list(core.SERVICES)
    assert len(server.seen) == 3
    assert runs(tmp_path) == 2


async def test_a_plugin_may_hand_out_a_client_certificate(tmp_path: Path) -> None:
    certificate, key = Authority().issue("us")
    facts = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
    issued = await Plugin("exec", program(tmp_path, printing(**facts))).run()
    assert issued.client_certificate_data.encode() == certificate
    kept = await credentials(Plugin("exec", program(tmp_path, printing(**facts))), FakeClock(), tmp_path)
    identity = await kept.identity()
    assert identity.certificate is not None
    assert identity.certificate.read() == certificate


async def test_a_plugin_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    body = (
        f"import subprocess\np = subprocess.Popen(['sleep', '300'])\nopen({str(child)!r}, 'w').write(str(p.pid))\n"
        "time.sleep(300)"
    )
    with pytest.raises(errors.Unreachable, match=r"gave no credentials within 1 s and was ended"):
        await Plugin("users[u].user.exec", program(tmp_path, body), patience=1.0).run()
    pid = int(child.read_text())
    await soon(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_a_plugin_that_leaves_a_child_behind_does_not_hold_us(tmp_path: Path) -> None:
    body = "if os.fork() == 0:\n    time.sleep(300)\n" + printing(token="t")
    with pytest.raises(errors.Unreachable, match="within 1 s"):
        await Plugin("exec", program(tmp_path, body), patience=1.0).run()


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        ("sys.exit('log in first')", errors.Unreachable, "exit code 1: log in first"),
        ("sys.exit(3)", errors.Unreachable, "exit code 3: it said nothing"),
        ("print('hello')", errors.Invalid, "printed no ExecCredential"),
        ("print(' ' * 3_000_000)\n" + printing(token="t"), errors.Invalid, "printed no ExecCredential"),
        (printing(), errors.Invalid, "neither a token nor a client certificate"),
        (printing(clientCertificateData="x"), errors.Invalid, "complete status"),
        (printing(token=7), errors.Invalid, "token"),
        (printing(token="t", expirationTimestamp="soon"), errors.Invalid, "expirationTimestamp"),
        (printing(VERSIONS[1], token="t"), errors.Invalid, "apiVersion"),
        ("print('[' * 100000)", errors.Invalid, "printed no ExecCredential"),
    ],
)
async def test_a_plugin_that_fails_is_told(
    tmp_path: Path, body: str, error: type[errors.IsthmusError], told: str
) -> None:
    with pytest.raises(error, match=told) as problem:
        await Plugin("users[u].user.exec", program(tmp_path, body)).run()
    assert "users[u].user.exec" in str(problem.value)


async def test_a_plugin_that_is_not_installed_comes_with_its_hint() -> None:
    plugin = Plugin("users[u].user.exec", "no-such-plugin-here", hint="get it from your vendor")
    with pytest.raises(errors.Invalid, match=r"users\[u\].user.exec.command.*get it from your vendor"):
        await plugin.run()


async def test_a_plugin_that_needs_a_person_is_not_run_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        plugin = Plugin("users[u].user.exec", program(tmp_path, printing(token="t")), mode="Always")
        with pytest.raises(errors.Invalid, match="interactiveMode"):
            await plugin.run()
    assert not (tmp_path / "runs").exists()


async def test_who_asks_at_once_gets_one_run(tmp_path: Path) -> None:
    plugin = Plugin("exec", program(tmp_path, "time.sleep(0.2)\n" + printing(token="t")))
    kept = await credentials(plugin, FakeClock(), tmp_path)
    identities = await asyncio.gather(*(kept.identity() for _ in range(10)))
    assert len({id(identity) for identity in identities}) == 1
    assert runs(tmp_path) == 1


def test_a_plugin_of_the_older_version_may_leave_out_its_mode(tmp_path: Path) -> None:
    exec_: Manifest = {"apiVersion": VERSIONS[1], "command": "x"}
    config = load_kubeconfig([saved(tmp_path, yaml.safe_load(yaml.safe_dump(kubeconfig(user={"exec": exec_}))))])
    assert config.plugin is not None
    assert config.plugin.mode == "IfAvailable"
    assert b64(b"") == ""
