"""`isthmus completion`: the shell's own completion for this command."""

import click
from click.shell_completion import get_completion_class

from isthmus.errors import Invalid


@click.command("completion", epilog='Example:  eval "$(isthmus completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print what makes a shell complete `isthmus`."""
    found = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if found is None:
        raise Invalid(f"no completion for {shell}; choose bash, zsh or fish")
    click.echo(found(root, {}, "isthmus", "_ISTHMUS_COMPLETE").source())
