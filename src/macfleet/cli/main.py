"""The `macfleet` command: finds subcommands lazily and turns every error into a diagnostic."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from typing import NoReturn

import click

from macfleet import __version__
from macfleet.cli.commands import COMMANDS
from macfleet.model.diagnostic import Diagnostic, MacfleetError, Severity
from macfleet.model.exit_codes import ExitCode

_OF_THE_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
    }
)
"""What a full disk, a mode or a limit of the controller does: no bug of ours."""


class LazyCommands(click.Group):
    """A group whose commands are imported only when one is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (its signature)
        """Return every command's name, sorted."""
        return sorted(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 (click's signature)
        cmd_name: str,
    ) -> click.Command | None:
        """Import one command; None for an unknown name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}:{entry.attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
            hint = f' Did you mean "{close[0]}"?' if close else " See: macfleet --help"
            ctx.fail(f'There is no command "{name}".{hint}')
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: macfleet init my-fleet && cd my-fleet && macfleet inventory check",
)
@click.version_option(__version__, prog_name="macfleet")
@click.option("--debug", is_flag=True, help="Show a traceback for errors that are bugs.")
def cli(debug: bool) -> None:
    """Provision pools of Macs, roll LLM services out in five gated stages, and compare the evidence.

    Example: macfleet rollout stage3 --check
    """
    _ = debug


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with the code of the table in the CLI reference."""
    given = sys.argv[1:] if arguments is None else arguments
    _open_streams()
    code = int(ExitCode.DONE)
    try:
        code = int(_run(given))
        sys.stdout.flush()
    except BrokenPipeError:
        _nobody_reads()
    except OSError as error:
        code = int(_unwritten(error))
    sys.exit(code)


def _open_streams() -> None:
    """Give a command that was started without a stream one that leads nowhere, and each every character."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the closed one: no file of ours gets into its place.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 (stays open)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            from macfleet.views.redacting_stream import ESCAPED

            stream.reconfigure(errors=ESCAPED)


def _run(arguments: list[str]) -> ExitCode | int:  # noqa: PLR0911 (one return per way to end)
    stdout = sys.stdout
    try:
        result = cli.main(args=arguments, prog_name="macfleet", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort as abort:
        return _show_abort(abort, arguments)
    except click.ClickException as error:
        return _show_usage(error, arguments)
    except MacfleetError as error:
        return _show(error, as_json=_wants_json(arguments))
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit:
        # Click answers a closed pipe with an exit 1 of its own, and leaves a wrapper in stdout's place.
        if sys.stdout is not stdout:
            return _nobody_reads()
        raise
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _show_bug(error, arguments)
    return int(result) if isinstance(result, int) else ExitCode.DONE


def _refused(error: OSError) -> Diagnostic:
    from macfleet.model.shell import quote

    place = str(error.filename or "")
    few = error.errno in (errno.EMFILE, errno.ENFILE)
    look = f"See who may write there and what is free: ls -ld {quote(place)}; df {quote(place)}"
    return Diagnostic(
        "E0002",
        f"this machine refused{f' {place}' if place else ''}: {error.strerror}",
        why="What was done by then is in the journal; nothing on a node is half-written.",
        mend=("Allow more open files: ulimit -n 4096" if few else look if place else "See what is free: df")
        + "\nThen the same command; a run that broke off goes on with --resume RUN: macfleet run list",
        exit_code=ExitCode.INTERNAL,
    )


def _show_usage(error: click.ClickException, arguments: list[str]) -> ExitCode:
    error.show(sys.stderr)
    if _wants_json(arguments):
        from macfleet.views.diagnostics import json_text

        context = getattr(error, "ctx", None)
        command = context.command_path if context else "macfleet"
        found = Diagnostic(
            "E0004",
            f"the command line is not understood: {error.format_message()}",
            mend=f"{command} --help",
            exit_code=ExitCode.USAGE,
        )
        print(json_text((found,)))
    return ExitCode.USAGE


def _show_abort(abort: click.Abort, arguments: list[str]) -> ExitCode:
    # Click calls an end of file from anywhere an interrupt; that of a prompt has no cause.
    if isinstance(abort.__cause__, EOFError):
        return _show_bug(abort.__cause__, arguments)
    print("\nInterrupted.", file=sys.stderr)
    return ExitCode.INTERRUPTED


def _show_bug(error: Exception, arguments: list[str]) -> ExitCode:
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return _show(MacfleetError(_refused(error)), as_json=_wants_json(arguments))
    bug = Diagnostic(
        "E0001",
        f"macfleet failed inside: {type(error).__name__}: {error}",
        why="This is a bug or a broken installation; nothing you typed should end like this.",
        mend="Run it again with --debug (before the command) and report what it prints.",
        exit_code=ExitCode.INTERNAL,
    )
    return _show(MacfleetError(bug), as_json=_wants_json(arguments))


def _unwritten(error: OSError) -> ExitCode:
    """Say that stdout could not be written; nothing else goes there."""
    from macfleet.views.redacting_stream import leave, unwritten

    leave(sys.stdout)
    return _show(MacfleetError(unwritten(error)), as_json=False)


def _nobody_reads() -> ExitCode:
    """Send the rest of stdout nowhere: a reader that has seen enough is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return ExitCode.DONE


def _show(error: MacfleetError, *, as_json: bool) -> ExitCode:
    from macfleet.views.diagnostics import json_text, text

    for position, diagnostic in enumerate(error.diagnostics):
        apart = "\n" if position else ""
        print(f"{apart}{text(diagnostic, colour=_colour())}", file=sys.stderr)
    if as_json:
        print(json_text(error.diagnostics, error.document))
    errors = [d for d in error.diagnostics if d.severity is Severity.ERROR]
    return error.exit_code if errors else ExitCode.DONE


def _wants_json(arguments: list[str]) -> bool:
    joined = " ".join(arguments)
    return any(f"--output{sign}{form}" in joined for sign in (" ", "=") for form in ("json", "ndjson"))


def _colour() -> bool:
    from macfleet.views.terminal import coloured

    return coloured(sys.stderr)
