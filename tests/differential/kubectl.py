"""What people type: kubectl's commands, and what is left of their output when both servers are to agree."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.differential.plain import ADDRESS, TIME, UUID
from tests.differential.servers import Server

KUBECTL = Path(sys.executable).with_name("kubectl")
LIMIT = 60.0
MACHINE = (
    (re.compile(r"127\.0\.0\.1:\d+"), "<server>"),
    (UUID, "<uid>"),
    (re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "<time>"),
    (TIME, "<time>"),
    (re.compile(r'("?resourceVersion"?: )"\d+"'), r"\1<version>"),
    (ADDRESS, "<address>"),
    (re.compile(r"kube-api-access-\w{5}"), "kube-api-access-<5>"),
    (re.compile(r"(?<=[\s(])\d+(s|m|h|d)(\d+[smh])?(?=[\s)]|$)", re.MULTILINE), "<age>"),
    (re.compile(r"/tmp/(LIVE|MERGED)-\d+"), r"/tmp/\1"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000"), "<time>"),
    (re.compile(r'Invalid value: "(\{|map\[).*(\}|\])": '), "Invalid value: <object>: "),
    # What fields mean is not kept.
    (re.compile(r"DESCRIPTION:.*", re.DOTALL), "DESCRIPTION"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Command:
    """One command line in the sequence's namespace, and what it reads."""

    line: str
    stdin: str = ""


def run(server: Server, home: Path, namespace: str, command: Command) -> str:
    """What a command says on one server, without what is that server's own."""
    home.mkdir(exist_ok=True)
    environment: Mapping[str, str] = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(home)}
    done = subprocess.run(
        [KUBECTL, "-n", namespace, *shlex.split(command.line)],
        input=command.stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=LIMIT,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}".strip()
    for pattern, instead in MACHINE:
        said = pattern.sub(instead, said)
    return f"exit {done.returncode}\n" + "\n".join(line.strip() for line in said.splitlines() if line.strip())


MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1'}\n"
MANY = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: n}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: t}\n"
SEQUENCES: Mapping[str, tuple[Command, ...]] = {
    "objects": (
        Command("create configmap c --from-literal=a=b"),
        Command("create configmap c"),
        Command("get configmap c"),
        Command("get cm c -o yaml"),
        Command("get cm c -o json --show-managed-fields"),
        Command("get cm c -o name"),
        Command("get cm c -o jsonpath={.data.a}"),
        Command("get cm c none -o wide"),
        Command("get cm -l a=b"),
        Command("label cm c x=y"),
        Command("label cm c x=z"),
        Command("annotate cm c note=yes --overwrite"),
        Command('patch cm c --type=merge -p \'{"data":{"a":"c"}}\''),
        Command('patch cm c --type=json -p \'[{"op":"remove","path":"/data/b"}]\''),
        Command("describe cm c"),
        Command("delete cm c --dry-run=server"),
        Command("delete cm c"),
        Command("delete cm c --ignore-not-found"),
        Command("delete cm c"),
        Command("get nonsense"),
    ),
    "applies": (
        Command("apply -f -", MAP),
        Command("apply -f -", MAP.replace("'1'", "'2'")),
        Command("diff -f -", MAP.replace("'1'", "'3'").replace("metadata: {name: m}", "metadata: {name: none}")),
        Command("apply --server-side -f -", MAP.replace("'1'", "'4'")),
        Command("apply --server-side --field-manager=other -f -", MAP.replace("'1'", "'5'")),
        Command("apply --server-side --field-manager=other --force-conflicts -f -", MAP.replace("'1'", "'5'")),
        Command("apply -f - --dry-run=server -o yaml", MAP),
        Command("apply -f -", MANY),
        Command("apply --validate=strict -f -", MAP + "colour: red\n"),
        Command("replace -f -", MAP),
        Command("get cm m -o yaml --show-managed-fields"),
        Command("delete -f - --wait=false", MANY),
    ),
    "workloads": (
        Command("create deployment d --image=i:1 --replicas=2"),
        Command("get deployment d -o wide"),
        Command("scale deployment d --replicas=3"),
        Command("set image deployment/d i=i:2"),
        Command("rollout history deployment d"),
        Command("rollout restart deployment none"),
        Command("rollout status deployment d --timeout=1s"),
        Command("expose deployment d --port=80"),
        Command("get service d -o wide"),
        Command("describe service d"),
        Command("describe deployment d"),
        Command("run p --image=i --restart=Never"),
        Command("get pod p -o wide"),
        Command("describe pod p"),
        Command("wait pod p --for=condition=Ready --timeout=1s"),
        Command("wait pod p --for=jsonpath={.status.phase}=Pending --timeout=5s"),
        Command("get all"),
        Command("get events"),
        Command("create serviceaccount s"),
        Command("create secret generic x --from-literal=k=v"),
        Command("describe secret x"),
        Command("create service clusterip y --tcp=80:8080"),
        Command("delete pod p --force"),
        Command("delete deployment d --cascade=orphan"),
    ),
    "questions": (
        Command("auth can-i create pods"),
        Command("auth can-i '*' '*'"),
        Command("explain configmap.data"),
        Command("top pods"),
        Command("create namespace default"),
        Command("get ns default --show-labels -o name"),
        Command("get pods --field-selector=a=b"),
        Command("get pods --raw /nonsense"),
        Command("get --raw /readyz"),
        Command("api-resources --api-group=apps"),
        Command("get cm --sort-by=.metadata.name -o name"),
        Command("get --chunk-size=1 cm -o name"),
    ),
}
