"""What people type: kubectl's commands, and what is left of their output when both servers are to agree."""

import os
import re
import shlex
import subprocess
import sys
import time
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
    (re.compile(r"Resource Version:\s+\d+"), "Resource Version: <version>"),
    (re.compile(r"X509SHA256=[0-9a-f]{64}"), "X509SHA256=<digest>"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "<token>"),
    (re.compile(r"\+isthmus"), ""),
    (re.compile(r"kube-api-access-\w{5}"), "kube-api-access-<5>"),
    (re.compile(r"(?<=[\s(])\d+(s|m|h|d)(\d+[smh])?(?=[\s)]|$)", re.MULTILINE), "<age>"),
    (re.compile(r"/tmp/(LIVE|MERGED)-\d+"), r"/tmp/\1"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000"), "<time>"),
    (re.compile(r'Invalid value: "(\{|map\[).*(\}|\])": '), "Invalid value: <object>: "),
    # What an embedded server says of kinds that nothing acts on there.
    (re.compile(r"Warning: nothing acts on .*\n?"), ""),
    # What fields mean is not kept.
    (re.compile(r"DESCRIPTION:.*", re.DOTALL), "DESCRIPTION"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Command:
    """One command line in the sequence's namespace, and what it reads."""

    line: str
    stdin: str = ""
    # Tried again, for a bounded time, until it succeeds: what a server tells of itself may come a moment later.
    until_done: bool = False


def run(server: Server, home: Path, namespace: str, command: Command) -> str:
    """What a command says on one server, without what is that server's own."""
    home.mkdir(exist_ok=True)
    environment: Mapping[str, str] = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(home)}
    ends = time.monotonic() + LIMIT
    while True:
        done = subprocess.run(
            [KUBECTL, "-n", namespace, *shlex.split(command.line)],
            input=command.stdin,
            capture_output=True,
            text=True,
            env=environment,
            timeout=LIMIT,
            check=False,
        )
        if not command.until_done or done.returncode == 0 or time.monotonic() > ends:
            break
    said = f"{done.stdout}\n{done.stderr}".strip()
    for pattern, instead in MACHINE:
        said = pattern.sub(instead, said)
    return f"exit {done.returncode}\n" + "\n".join(line.strip() for line in said.splitlines() if line.strip())


MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1'}\n"
ROLE = """apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
"""
NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: kubectl-n}\n"
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  selector: {matchLabels: {app: d}}
  template: {metadata: {labels: {app: d}}, spec: {containers: [{name: i, image: "i:1"}]}}
"""
MANY = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: n}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: t}\n"
CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gears.kubectl.example.com}
spec:
  group: kubectl.example.com
  scope: Namespaced
  names: {plural: gears, singular: gear, kind: Gear, shortNames: [gr], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.teeth, statusReplicasPath: .status.teeth}}
    additionalPrinterColumns: [{name: Teeth, type: integer, jsonPath: .spec.teeth}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [teeth]
            properties:
              teeth: {type: integer, minimum: 3}
              marks: {type: array, items: {type: string}}
          status: {type: object, properties: {teeth: {type: integer}}}
"""
GEAR = "apiVersion: kubectl.example.com/v1\nkind: Gear\nmetadata: {name: g}\nspec: {teeth: 12}\n"
SEQUENCES: Mapping[str, tuple[Command, ...]] = {
    "customs": (
        Command("apply -f -", CRD),
        Command("wait crd gears.kubectl.example.com --for=condition=Established --timeout=20s"),
        Command("get crd gears.kubectl.example.com -o name"),
        Command("apply -f -", GEAR),
        Command("apply -f -", GEAR.replace("12", "13")),
        Command("apply -f -", GEAR.replace("12", "2")),
        Command("apply -f -", GEAR.replace("12", "12, marks: 7")),
        Command("apply -f -", GEAR.replace("12}", "14, colour: red}")),
        Command("apply --server-side -f -", GEAR.replace("12", "15")),
        Command("get gears"),
        Command("get gr g -o yaml"),
        Command("get gear g -o wide"),
        Command('patch gear g --type=merge -p \'{"spec":{"marks":["a"]}}\''),
        Command('patch gear g --type=strategic -p \'{"spec":{"marks":["a"]}}\''),
        Command('patch gear g --subresource=status --type=merge -p \'{"status":{"teeth":3}}\''),
        Command("scale gear g --replicas=20"),
        Command("describe gear g"),
        Command("get all"),
        Command("api-resources --api-group=kubectl.example.com"),
        Command("auth can-i create gears"),
        Command("explain gears", until_done=True),
        Command("explain gears.spec --recursive"),
        Command("explain gears.spec.nothing"),
        Command("delete gear g"),
        Command("delete -f -", CRD),
    ),
    "rights": (
        Command("create role r --verb=get,list --resource=pods,services"),
        Command("create role none --verb=fly --resource=nothing"),
        Command("create clusterrole kubectl-c --verb=get --resource=nodes"),
        Command("create rolebinding b --role=r --serviceaccount=kubectl-rights:default"),
        Command("create rolebinding b --role=r --user=u"),
        Command("create clusterrolebinding kubectl-b --clusterrole=kubectl-c --group=g"),
        Command("get role r -o yaml"),
        Command("describe role r"),
        Command("describe rolebinding b"),
        Command("get role,rolebinding"),
        Command("get rolebinding -o wide"),
        Command("set subject rolebinding b --user=u"),
        Command("auth whoami"),
        Command("auth whoami -o yaml --as=u --as-group=g"),
        Command("auth can-i --list --as=u"),
        Command("auth can-i list pods --as=u"),
        Command("auth can-i delete pods --as=u"),
        Command("auth can-i get pods --as=system:serviceaccount:kubectl-rights:default"),
        Command("auth reconcile -f -", ROLE),
        Command("create token default --duration=10s"),
        Command("create token none"),
        Command("get pods --as=nobody"),
        Command("delete clusterrole kubectl-c"),
        Command("delete clusterrolebinding kubectl-b"),
    ),
    "changes": (
        Command("create deployment d --image=i:1"),
        Command("set env deployment/d A=b"),
        Command("set env deployment/d --list"),
        Command("set env deployment/d A-"),
        Command("set resources deployment/d --limits=cpu=100m"),
        Command("set serviceaccount deployment d default"),
        Command("rollout pause deployment d"),
        Command("rollout pause deployment d"),
        Command("rollout restart deployment d"),
        Command("rollout undo deployment d"),
        Command("rollout resume deployment d"),
        Command("rollout history deployment d"),
        Command("rollout undo deployment d --to-revision=7"),
        Command("label deployment d a=b c=d"),
        Command("label deployment d a-"),
        Command("annotate deployment d note=x"),
        Command("annotate deployment d note-"),
        Command("get deployment d --show-labels"),
        Command("apply set-last-applied -f - --create-annotation", DEPLOYMENT),
        Command("apply view-last-applied deployment d"),
        Command("apply -f -", NODE),
        Command("taint nodes kubectl-n a=b:NoSchedule"),
        Command("taint nodes kubectl-n a=c:NoSchedule"),
        Command("taint nodes kubectl-n a-"),
        Command("cordon kubectl-n"),
        Command("uncordon kubectl-n"),
        Command("drain kubectl-n --timeout=5s"),
        Command("label node kubectl-n zone=a"),
        Command("get node kubectl-n -L zone"),
        Command("delete node kubectl-n"),
        Command("get deployments -w --request-timeout=2s"),
        Command("get deployment d -o yaml --watch --output-watch-events --request-timeout=2s"),
        Command("events"),
        Command("events --for deployment/d"),
        Command("api-resources --api-group=rbac.authorization.k8s.io --namespaced=false -o wide"),
        Command("api-resources --api-group=discovery.k8s.io -o name"),
        Command("version"),
        Command("cluster-info"),
    ),
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
