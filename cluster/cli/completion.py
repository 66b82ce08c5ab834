"""`kubeherd completion`: the script that teaches a shell to complete this command."""

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

_WRITERS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    epilog="""\b
To complete in this shell, or in every new one:
  bash  eval "$(kubeherd completion bash)"
        echo 'eval "$(kubeherd completion bash)"' >> ~/.bashrc
  zsh   eval "$(kubeherd completion zsh)"         (after compinit)
        echo 'eval "$(kubeherd completion zsh)"' >> ~/.zshrc
  fish  kubeherd completion fish | source
        kubeherd completion fish > ~/.config/fish/completions/kubeherd.fish
"""
)
@click.argument("shell", type=click.Choice(list(_WRITERS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script for the completion of commands by a shell."""
    writer = _WRITERS[shell](ctx.find_root().command, {}, "kubeherd", "_KUBEHERD_COMPLETE")
    click.echo(writer.source())
