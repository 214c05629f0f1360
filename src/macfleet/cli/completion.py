"""`macfleet completion`: what a shell needs to complete commands, options, nodes, groups and runs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError

# Where each shell looks by itself, below the home folder.
_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/macfleet",
    "fish": "~/.config/fish/completions/macfleet.fish",
    "zsh": "~/.zfunc/_macfleet (and in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit; compinit)",
}


@click.command(epilog="Example: macfleet completion zsh")
@click.argument("shell", type=click.Choice(sorted(_PLACES)), required=False)
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def completion(shell: str | None, output: str) -> None:
    """Print the completion script of a shell: that of $SHELL unless named.

    Commands, options, nodes, groups and runs are completed; the last three from the fleet folder one is in.
    """
    from click.shell_completion import get_completion_class

    from macfleet.cli.main import cli

    chosen = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(chosen) if chosen in _PLACES else None
    if found is None:
        raise MacfleetError(_unknown(chosen))
    script = found(cli, {}, "macfleet", "_MACFLEET_COMPLETE").source()
    if output == "json":
        from macfleet.views.terminal import show_json

        place = _PLACES[chosen].partition(" ")[0]
        show_json({"schema": 1, "kind": "completion", "shell": chosen, "place": place, "script": script})
        return
    click.echo(f"# Keep it in {_PLACES[chosen]}")
    click.echo(script)


def _unknown(shell: str) -> Diagnostic:
    return Diagnostic(
        "E0119",
        f"there is no completion for {shell}" if shell else "it is not known which shell to complete for",
        why="$SHELL decides where no shell is named.",
        mend="macfleet completion bash, fish or zsh",
    )
