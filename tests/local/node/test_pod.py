"""Pods that run: what they see, in which order things happen, and how they end."""

import base64
from pathlib import Path

import pytest

from isthmus.api.core import CONFIG_MAPS, EVENTS, SECRETS
from isthmus.api.scheme import Manifest
from tests.local.node.conftest import Cluster, condition, container, once, shell, wait_until

pytestmark = pytest.mark.node

SERVER = ["python3", "-m", "http.server", "--bind", "::", "80"]


def env(**fields: str) -> list[Manifest]:
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


async def test_a_pod_runs_a_program_of_the_host_and_says_so(cluster: Cluster) -> None:
    spec = {"containers": [{"name": "web", "image": "nginx:1", "command": SERVER}]}
    await cluster.make("web", spec)
    pod = await cluster.ready("web")
    assert pod["spec"]["nodeName"] == "east-node"
    assert container(pod)["imageID"] == "host"

    async def said() -> list[str]:
        events = await cluster.client.list(EVENTS, namespace="default")
        return [
            each.message for each in events.items if each.involved_object.name == "web" and "not used" in each.message
        ]

    await wait_until(said)


async def test_two_pods_have_the_same_port_and_reach_each_other_by_both_families(cluster: Cluster) -> None:
    probe = {"tcpSocket": {"port": 80}}
    for name in ("one", "two"):
        serving = f"mkdir /www && echo {name} > /www/name && cd /www && exec python3 -m http.server --bind :: 80"
        await cluster.make(name, {"containers": [shell(serving, readinessProbe=probe)]})
    pods = [await cluster.ready(name) for name in ("one", "two")]
    addresses = [address["ip"] for address in pods[1]["status"]["podIPs"]]
    assert pods[0]["status"]["podIP"] != addresses[0]
    urls = " ".join(f"http://{address if '.' in address else f'[{address}]'}/name" for address in addresses)
    await cluster.make("client", once(f"curl -sS --max-time 5 -g {urls}"))
    assert (await cluster.over("client"))["status"]["phase"] == "Succeeded"
    assert await cluster.log("client") == "two\ntwo\n"


async def test_a_pod_knows_itself(cluster: Cluster) -> None:
    wanted = env(
        IP="status.podIP", IPS="status.podIPs", NAME="metadata.name", SPACE="metadata.namespace",
        NODE="spec.nodeName", HOST="status.hostIP", APP="metadata.labels['app']", ACCOUNT="spec.serviceAccountName",
    )  # fmt: skip
    wanted.append({"name": "BOTH", "value": "$(NAME).$(SPACE) $$(NAME) $(NOBODY)"})
    script = 'echo "$IP|$IPS|$NAME|$SPACE|$NODE|$HOST|$APP|$ACCOUNT|$BOTH|$(hostname)|$0"'
    main = {"name": "main", "image": "host", "command": ["/bin/sh", "-c", script, "$(NAME)!"], "env": wanted}
    await cluster.make("self", {"restartPolicy": "Never", "containers": [main]}, labels={"app": "shop"})
    pod = await cluster.over("self")
    ips = [each["ip"] for each in pod["status"]["podIPs"]]
    said = (await cluster.log("self")).strip().split("|")
    assert said == [
        ips[0], ",".join(ips), "self", "default", "east-node", "10.0.0.1", "shop", "default",
        "self.default $(NAME) $(NOBODY)", "self", "self!",
    ]  # fmt: skip


async def test_names_are_asked_of_the_cluster_as_the_kubelet_has_it(cluster: Cluster) -> None:
    aliases = [{"ip": "10.9.9.9", "hostnames": ["old.example", "older.example"]}]
    await cluster.make("names", once("cat /etc/resolv.conf; getent hosts names older.example", hostAliases=aliases))
    pod = await cluster.over("names")
    said = await cluster.log("names")
    assert said.splitlines()[:3] == [
        "nameserver 10.1.128.10",
        "search default.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:5",
    ]
    assert {line.split()[0] for line in said.splitlines()[3:]} <= {
        "10.9.9.9", *(each["ip"] for each in pod["status"]["podIPs"])
    }  # fmt: skip
    assert "older.example" in said


async def test_a_pod_speaks_to_its_api_server_as_its_service_account(cluster: Cluster) -> None:
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    ask = (
        f'curl -sS --cacert {folder}/ca.crt -H "Authorization: Bearer $(cat {folder}/token)" '
        "https://10.0.0.1:6443/apis/authentication.k8s.io/v1/selfsubjectreviews "
        '-H \'Content-Type: application/json\' -d \'{"apiVersion":"authentication.k8s.io/v1",'
        f'"kind":"SelfSubjectReview"}}\'; cat {folder}/namespace'
    )
    await cluster.make("account", once(ask))
    await cluster.over("account")
    said = await cluster.log("account")
    assert "system:serviceaccount:default:default" in said
    assert said.endswith("default")


async def test_volumes_appear_where_they_are_mounted_and_nowhere_on_the_host(cluster: Cluster) -> None:
    await cluster.client.create(
        CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"}}, namespace="default"
    )
    secret = {"metadata": {"name": "key"}, "data": {"key": base64.b64encode(b"hush").decode()}}
    await cluster.client.create(SECRETS, secret, namespace="default")
    volumes = [
        {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "b", "path": "deep/b"}]}},
        {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
        {"name": "self", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "work", "emptyDir": {}},
        {"name": "all", "projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "key"}}]}},
        {"name": "may", "configMap": {"name": "nobody", "optional": True}},
    ]
    mounts = [
        {"name": "settings", "mountPath": "/etc/isthmus-test/settings"},
        {"name": "key", "mountPath": "/isthmus-test-key"},
        {"name": "self", "mountPath": "/isthmus-test-self"},
        {"name": "work", "mountPath": "/isthmus-test-work"},
        {"name": "work", "mountPath": "/isthmus-test-part", "subPath": "part"},
        {"name": "all", "mountPath": "/isthmus-test-work/all"},
        {"name": "may", "mountPath": "/isthmus-test-may"},
    ]
    script = (
        "cat /etc/isthmus-test/settings/deep/b /isthmus-test-key/key /isthmus-test-self/labels; "
        "echo; cat /isthmus-test-work/all/a; ls /etc/isthmus-test/settings /isthmus-test-may; "
        "echo more > /isthmus-test-part/x && cat /isthmus-test-work/part/x; "
        "touch /etc/isthmus-test/settings/no 2>/dev/null || echo read-only"
    )
    source = {"envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}]}
    spec = {"restartPolicy": "Never", "volumes": volumes, "containers": [shell(script, volumeMounts=mounts, **source)]}
    await cluster.make("files", spec, labels={"app": "shop"})
    await cluster.over("files")
    said = (await cluster.log("files")).split()
    assert said == [
        '2hushapp="shop"',
        "1/etc/isthmus-test/settings:",
        "deep",
        "/isthmus-test-may:",
        "more",
        "read-only",
    ]
    assert not list(Path("/").glob("isthmus-test*"))
    assert not Path("/etc/isthmus-test").exists()


async def test_a_pod_waits_for_what_it_refers_to(cluster: Cluster) -> None:
    source = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}
    await cluster.make("waiting", once("echo $A") | {"containers": [shell("echo $A", env=[source])]})
    waiting = await cluster.when("waiting", lambda pod: "late" in str(container(pod)["state"]))
    assert waiting["status"]["phase"] == "Pending"
    await cluster.client.create(
        CONFIG_MAPS, {"metadata": {"name": "late"}, "data": {"a": "at last"}}, namespace="default"
    )
    await cluster.over("waiting")
    assert await cluster.log("waiting") == "at last\n"


async def test_init_containers_run_one_after_the_other_before_the_rest(cluster: Cluster) -> None:
    mounts = [{"name": "work", "mountPath": "/isthmus-work"}]
    steps = [
        {
            "name": f"step{n}",
            "image": "host",
            "command": ["/bin/sh", "-c", f"echo {n} >> /isthmus-work/steps"],
            "volumeMounts": mounts,
        }
        for n in (1, 2)
    ]
    main = shell("cat /isthmus-work/steps", volumeMounts=mounts)
    volumes = [{"name": "work", "emptyDir": {}}]
    spec = {"restartPolicy": "Never", "volumes": volumes, "initContainers": steps, "containers": [main]}
    await cluster.make("steps", spec)
    pod = await cluster.over("steps")
    assert await cluster.log("steps") == "1\n2\n"
    assert [each["state"]["terminated"]["exitCode"] for each in pod["status"]["initContainerStatuses"]] == [0, 0]
    assert condition(pod, "Initialized") == "True"


async def test_a_failed_init_container_keeps_the_rest_from_starting(cluster: Cluster) -> None:
    init = [{"name": "no", "image": "host", "command": ["/bin/false"]}]
    await cluster.make("stuck", once("echo never") | {"initContainers": init})
    pod = await cluster.over("stuck")
    assert pod["status"]["phase"] == "Failed"
    assert container(pod)["state"] == {"waiting": {"reason": "PodInitializing"}}


async def test_containers_share_their_pods_network(cluster: Cluster) -> None:
    server = {"name": "server", "image": "host", "command": SERVER}
    client = {
        "name": "client",
        "image": "host",
        "command": ["/bin/sh", "-c", "until curl -s localhost > /dev/null; do sleep 0.1; done; sleep 60"],
    }
    ready = {"exec": {"command": ["curl", "-s", "-o", "/dev/null", "localhost"]}}
    await cluster.make("pair", {"containers": [server, client | {"readinessProbe": ready}]})
    pod = await cluster.ready("pair")
    assert [each["ready"] for each in pod["status"]["containerStatuses"]] == [True, True]


@pytest.mark.parametrize(
    ("policy", "script", "want"),
    [
        pytest.param("Never", "exit 3", ("Failed", 3, 0), id="never started again: Failed with its exit code"),
        pytest.param("Never", "exit 0", ("Succeeded", 0, 0), id="a clean end: Succeeded"),
        pytest.param("Never", "kill -9 $$$$", ("Failed", 137, 0), id="killed by a signal: 128 and its number"),
        pytest.param(
            "OnFailure",
            "test -e /isthmus-work/x && exit 0; touch /isthmus-work/x; exit 1",
            ("Succeeded", 0, 1),
            id="started again until it succeeds",
        ),
    ],
)
async def test_how_a_pod_ends(cluster: Cluster, policy: str, script: str, want: tuple[str, int, int]) -> None:
    main = shell(script, volumeMounts=[{"name": "work", "mountPath": "/isthmus-work"}])
    spec = {"restartPolicy": policy, "volumes": [{"name": "work", "emptyDir": {}}], "containers": [main]}
    await cluster.make("ends", spec)
    pod = await cluster.over("ends")
    ended = container(pod)
    assert (pod["status"]["phase"], ended["state"]["terminated"]["exitCode"], ended["restartCount"]) == want
    await cluster.remove("ends", grace=0)
    await cluster.gone("ends")


async def test_what_ends_again_and_again_backs_off(cluster: Cluster) -> None:
    await cluster.make("crash", {"containers": [shell("echo run; exit 7")]})
    pod = await cluster.when(
        "crash", lambda pod: container(pod)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
    )
    crashed = container(pod)
    assert crashed["lastState"]["terminated"]["exitCode"] == 7
    assert crashed["restartCount"] == 1
    assert pod["status"]["phase"] == "Running"
    assert await cluster.log("crash") == "run\n"
    assert await cluster.log("crash", previous="true") == "run\n"


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({"containers": [{"name": "main", "image": "nginx"}]}, "is not pulled here", id="no command"),
        pytest.param({"containers": [shell("true")], "hostNetwork": True}, "hostNetwork", id="the host's network"),
        pytest.param(
            {"containers": [shell("true")], "volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": "x"}}]},
            "persistentVolumeClaim is not supported",
            id="a volume that needs storage",
        ),
        pytest.param(
            {"containers": [shell("true", livenessProbe={"grpc": {"port": 1}})]},
            "grpc probes are not",
            id="a grpc probe",
        ),
        pytest.param(
            {"containers": [{"name": "main", "image": "host", "command": ["/no/such/program"]}]},
            "executable file not found",
            id="no program",
        ),
        pytest.param(
            {"containers": [shell("true", workingDir="/no/such/folder")]}, "/no/such/folder", id="no working directory"
        ),
    ],
)
async def test_what_a_node_cannot_do_it_says(cluster: Cluster, spec: Manifest, want: str) -> None:
    await cluster.make("refused", spec)
    await cluster.when("refused", lambda pod: want in str(container(pod)))
    await cluster.remove("refused", grace=0)
    await cluster.gone("refused")


async def test_a_pod_ends_gracefully_and_stays_until_it_has(cluster: Cluster) -> None:
    mounts = [{"name": "tmp", "mountPath": "/isthmus-out"}]
    volumes = [{"name": "tmp", "hostPath": {"path": str(cluster.stage.folder)}}]
    ending = "echo term >> /isthmus-out/end; sleep 0.5; echo end >> /isthmus-out/end; exit 0"
    script = f"trap '{ending}' TERM; touch /isthmus-out/armed; while :; do sleep 0.05; done"
    stop = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo hook >> /isthmus-out/end"]}}}
    probe = {"exec": {"command": ["test", "-e", "/isthmus-out/armed"]}, "periodSeconds": 1}
    main = shell(script, volumeMounts=mounts, lifecycle=stop, readinessProbe=probe)
    await cluster.make("graceful", {"terminationGracePeriodSeconds": 20, "volumes": volumes, "containers": [main]})
    await cluster.ready("graceful")
    await cluster.remove("graceful")
    pod = await cluster.get("graceful")
    assert pod["metadata"]["deletionTimestamp"]
    assert condition(pod, "Ready") == "True"
    await cluster.gone("graceful")
    end = cluster.stage.folder / "end"
    assert end.read_text() == "hook\nterm\nend\n"
    end.unlink()
    (cluster.stage.folder / "armed").unlink()


async def test_a_pod_that_ignores_its_end_is_killed_when_its_grace_is_over(cluster: Cluster) -> None:
    await cluster.make(
        "stubborn",
        {"terminationGracePeriodSeconds": 1, "containers": [shell("trap '' TERM; while :; do sleep 0.05; done")]},
    )
    await cluster.ready("stubborn")
    await cluster.remove("stubborn")
    await cluster.gone("stubborn")


async def test_a_deadline_fails_the_pod(cluster: Cluster) -> None:
    await cluster.make("deadline", {"activeDeadlineSeconds": 1, "containers": [shell("sleep 60")]})
    pod = await cluster.over("deadline")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


async def test_a_sidecar_starts_first_and_runs_along(cluster: Cluster) -> None:
    sidecar: dict[str, object] = {"name": "proxy", "image": "host", "command": SERVER, "restartPolicy": "Always"}
    sidecar["startupProbe"] = {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 60}
    main = shell("curl -sS -o /dev/null localhost && echo served")
    await cluster.make("sidecar", {"restartPolicy": "Never", "initContainers": [sidecar], "containers": [main]})
    pod = await cluster.over("sidecar")
    assert pod["status"]["phase"] == "Succeeded"
    assert await cluster.log("sidecar", container="main") == "served\n"


async def test_a_container_that_fails_its_liveness_probe_is_started_again(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/run/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    await cluster.make("sick", {"containers": [shell("sleep 1; touch /run/sick; sleep 600", livenessProbe=probe)]})
    pod = await cluster.when("sick", lambda pod: container(pod)["restartCount"] >= 1)
    assert container(pod)["lastState"]["terminated"]["exitCode"] in {137, 143}


async def test_a_pod_is_ready_and_unready_as_its_probe_says(cluster: Cluster) -> None:
    folder = {"name": "v", "hostPath": {"path": str(cluster.stage.folder)}}
    mounts = [{"name": "v", "mountPath": "/isthmus-v"}]
    probe = {"exec": {"command": ["test", "-e", "/isthmus-v/open"]}, "periodSeconds": 1, "failureThreshold": 1}
    main = shell("sleep 600", readinessProbe=probe, volumeMounts=mounts)
    await cluster.make("moody", {"volumes": [folder], "containers": [main]})
    await cluster.when("moody", lambda pod: pod["status"]["phase"] == "Running" and condition(pod, "Ready") == "False")
    (cluster.stage.folder / "open").touch()
    await cluster.ready("moody")
    (cluster.stage.folder / "open").unlink()
    await cluster.when("moody", lambda pod: condition(pod, "Ready") == "False")


async def test_a_slow_start_is_waited_for_and_no_longer(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    await cluster.make("slow", {"containers": [shell("sleep 600", startupProbe=probe)]})
    pod = await cluster.when("slow", lambda pod: container(pod)["restartCount"] >= 1)
    assert container(pod)["ready"] is False


async def test_a_failing_hook_after_the_start_ends_the_container(cluster: Cluster) -> None:
    hook = {"postStart": {"exec": {"command": ["false"]}}}
    await cluster.make("hooked", {"containers": [shell("sleep 600", lifecycle=hook)]})
    await cluster.when("hooked", lambda pod: container(pod)["restartCount"] >= 1)


async def test_what_a_program_leaves_as_its_last_words_is_told(cluster: Cluster) -> None:
    await cluster.make("words", once("echo -n 'no disk' > /dev/termination-log; exit 1"))
    pod = await cluster.over("words")
    assert container(pod)["state"]["terminated"]["message"] == "no disk"


async def test_a_container_holds_no_rights_over_the_machine(cluster: Cluster) -> None:
    script = (
        "grep CapEff /proc/self/status; mount -t tmpfs none /mnt 2>/dev/null || echo no mount; ls /run; ps ax | wc -l"
    )
    await cluster.make("meek", once(script))
    await cluster.over("meek")
    said = (await cluster.log("meek")).splitlines()
    assert said[0].split()[1] == "00000000a80425fb"
    assert said[1] == "no mount"
    assert set(said[2:-1]) <= {"mount", "secrets"}
    assert int(said[-1]) < 8
