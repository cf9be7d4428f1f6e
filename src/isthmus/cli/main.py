"""`isthmus`, the one command; a subcommand's module is loaded when it is called, so that all start quickly."""

import importlib
import sys

import click

from isthmus import __version__
from isthmus.errors import APIError, IsthmusError, Unreachable
from isthmus.kit.text import printable

# Where each subcommand lives, in the order of `isthmus --help`.
COMMANDS = {
    "up": "sets",
    "down": "sets",
    "status": "sets",
    "stop": "sets",
    "start": "sets",
    "demo": "demo",
    "doctor": "doctor",
    "clusters": "clusters",
    "describe": "clusters",
    "export": "services",
    "unexport": "services",
    "services": "services",
    "resolve": "services",
    "exec": "pods",
    "logs": "pods",
    "kubectl": "pods",
    "install": "install",
    "credential": "credential",
    "token": "registry",
    "approve": "registry",
    "deny": "registry",
    "remove": "registry",
    "join": "join",
    "leave": "join",
    "agent": "agent",
    "hub": "hub",
    "dns": "dns",
    "tunnel": "tunnel",
    "conformance": "conformance",
    "completion": "completion",
}
# Exit codes that scripts can tell apart.
REFUSED, UNREACHABLE = 1, 3
_FORBIDDEN = 403


class Commands(click.Group):
    """A group that imports a subcommand's module on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"isthmus.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="isthmus")
def cli() -> None:
    """One cluster set out of many Kubernetes clusters.

    \b
    Try it on this machine:   isthmus demo
    Keep a set running:       isthmus up --clusters east,west,north
    See what is exported:     isthmus services
    """


def main() -> None:
    """Run the command line; an error is one sentence on stderr, never a traceback.

    Exit codes: 0 done, 1 refused or failed, 2 wrong arguments, 3 a server cannot be reached.
    """
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except Unreachable as error:
        _say(error)
        sys.exit(UNREACHABLE)
    except (IsthmusError, APIError) as error:
        _say(error, _lacks(error))
        sys.exit(REFUSED)


def _say(error: Exception, remedy: str = "") -> None:
    # Further lines stand below the first, so that none looks like one of ours.
    click.echo("\n  ".join(map(printable, f"isthmus: {error}{remedy}".split("\n"))), err=True)


def _lacks(error: IsthmusError) -> str:
    """What to do about a right that is missing; what a policy refuses says so itself."""
    if not isinstance(error, APIError) or error.code != _FORBIDDEN or " cannot " not in error.message:
        return ""
    return ". Use the context of somebody who may (--context), or see what this one may: kubectl auth can-i --list"


if __name__ == "__main__":
    main()
