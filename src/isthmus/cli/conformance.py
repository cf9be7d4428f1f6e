"""`isthmus conformance mcs` and `about`: judge any implementation by what can be seen from outside."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from isthmus.cli.output import progress
from isthmus.conformance.page import as_html
from isthmus.conformance.report import Outcome, Report, lines
from isthmus.conformance.run import IMAGE, Options, run
from isthmus.conformance.suites import SUITES
from isthmus.errors import Invalid
from isthmus.kit.text import printable

FILE = click.Path(path_type=Path, dir_okay=False)
EPILOG = "Example:  isthmus conformance mcs --contexts east,west --report report.yaml"


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """The options that both suites have."""
    for option in (
        click.option("--list", "listing", is_flag=True, help="List the suite's checks, and run none."),
        click.option("--report", type=FILE, help="Also write it to this file: as YAML, or a web page for *.html."),
        click.option("-o", "--output", type=click.Choice(["text", "yaml"]), default="text", show_default=True),
        click.option("--at-once", type=click.IntRange(1), default=6, show_default=True, help="How many side by side."),
        click.option(
            "--patience",
            default=1.0,
            type=click.FloatRange(min=0.01),
            show_default=True,
            help="Stretches all bounds, for slow clusters.",
        ),
        click.option("--skip", multiple=True, metavar="ID=REASON", help="Leave a check out, and say why. Repeatable."),
        click.option("--focus", multiple=True, metavar="TEXT", help="Only checks of this id, label, level or title."),
        click.option("--dns-domain", "zone", default="clusterset.local", show_default=True, help="The set's DNS zone."),
        click.option("--image", default=IMAGE, show_default=True, help="Any image with python3."),
        click.option("--kubeconfig", type=FILE, help="Else $KUBECONFIG, or ~/.kube/config."),
        click.option("--contexts", default="", metavar="C1,C2", help="The set's clusters; the first exports first."),
    ):
        command = option(command)
    return command


@click.group("conformance", epilog=EPILOG)
def conformance_command() -> None:
    """Judge any implementation of MCS or About, through the Kubernetes API and DNS alone.

    Exit codes: 0 conformant, 1 something failed, 2 wrong arguments, 3 a cluster cannot be reached.
    """


@conformance_command.command("mcs", epilog=EPILOG)
@shared
def mcs_command(**given: object) -> None:
    """Multi-Cluster Services (KEP-1645): upstream's 28 tests, and effects of our own."""
    _judge("mcs", given)


@conformance_command.command("about", epilog="Example:  isthmus conformance about --contexts east,west")
@shared
def about_command(**given: object) -> None:
    """About (KEP-2149): what its requirements let one see from outside."""
    _judge("about", given)


def _judge(suite: str, given: dict[str, object]) -> None:
    if given["listing"]:
        for each in SUITES[suite]:
            click.echo(f"{each.id:6}{each.level.value:10}{each.title}")
        return
    try:
        report = asyncio.run(_broken_off_in_order(options(suite, given)))
    except asyncio.CancelledError as ended:
        raise click.Abort from ended
    if given["output"] == "yaml":
        click.echo(report.as_yaml(), nl=False)
    else:
        _show(report)
    if given["report"]:
        _write(Path(str(given["report"])), report)
    sys.exit(0 if report.conformant else 1)


def _write(path: Path, report: Report) -> None:
    try:
        path.write_text(as_html(report) if path.suffix == ".html" else report.as_yaml())
    except OSError as problem:
        raise Invalid(f"--report {path}: cannot be written: {problem.strerror}; name another file") from problem


def options(suite: str, given: dict[str, object]) -> Options:
    """What was typed. Raises Invalid for a skip without a reason."""
    skip = {}
    for text in _texts(given["skip"]):
        name, equals, reason = text.partition("=")
        if not equals or not reason.strip():
            raise Invalid(f"--skip {text}: write why: --skip '{name}=REASON'")
        skip[name] = reason.strip()
    contexts = tuple(dict.fromkeys(name.strip() for name in str(given["contexts"]).split(",") if name.strip()))
    return Options(
        suite=suite,
        contexts=contexts,
        kubeconfig=Path(str(given["kubeconfig"])) if given["kubeconfig"] else None,
        image=str(given["image"]),
        zone=str(given["zone"]).strip("."),
        focus=tuple(_texts(given["focus"])),
        skip=skip,
        at_once=int(str(given["at_once"])),
        patience=float(str(given["patience"])),
    )


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, tuple) else []


async def _broken_off_in_order(wanted: Options) -> Report:
    """The run; SIGTERM ends it as Ctrl-C does, with its namespaces deleted."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await run(wanted, say=progress)
    except asyncio.CancelledError:
        progress("broken off; the namespaces that were made are being deleted by their clusters")
        raise


def _show(report: Report) -> None:
    for line in lines(report.results):
        click.echo(printable(line))
    click.echo()
    for level, counts in report.summary().items():
        click.echo(f"{level:10} {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}")
    unwell = report.named(Outcome.FAILED) + report.named(Outcome.UNKNOWN)
    said = "conformant" if report.conformant else "not conformant"
    click.echo(f"{said}, in {report.seconds:.0f} s" + (f"; see {', '.join(unwell)}" if unwell else ""))
