"""`headrace completion`."""

import click
from click.shell_completion import get_completion_class

_EPILOG = """\b
Example:
  headrace completion bash >> ~/.bashrc
  headrace completion zsh >> ~/.zshrc
  headrace completion fish > ~/.config/fish/completions/headrace.fish
"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell."""
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    script = completion(context.find_root().command, {}, "headrace", "_HEADRACE_COMPLETE")
    # Not `source()`: it runs bash to look at its version.
    click.echo(script.source_template % script.source_vars())
