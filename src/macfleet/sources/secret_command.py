"""``cmd:PROGRAM ARGUMENTS``: what a program of the operator prints, such as a password manager."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.sources.secret_file import MOST, without_line_break


def output_of(root: Path, command: str, deadline: float) -> str:
    """Return what the program prints, without the line break at its end.

    The words are split as a shell splits them, but no shell runs: no variables, globs or pipes.

    Raises:
        MacfleetError: E1201 the words cannot be split; E1203 no text of at most 64 KiB was printed; E1204 it
            failed or took too long; E1205 there is no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise MacfleetError(_failed("E1201", f"cmd:{command} cannot be split into words: {error}")) from error
    printed = run(words, root, deadline, name=words[0])
    try:
        text = printed.decode()
    except UnicodeDecodeError as error:
        raise MacfleetError(_failed("E1203", f"{words[0]} printed no UTF-8 text")) from error
    if len(printed) > MOST:
        raise MacfleetError(_failed("E1203", f"{words[0]} printed more than 64 KiB"))
    return without_line_break(text)


def run(words: Sequence[str], root: Path, deadline: float, *, name: str, stdin: bytes = b"") -> bytes:
    """Run a program in `root` without a terminal and return its stdout (raises MacfleetError).

    At the deadline its whole process group is killed.
    """
    try:
        process = subprocess.Popen(
            list(words),
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        summary = f"{name} cannot be run: {error.strerror or error}"
        raise MacfleetError(_failed("E1205", summary, mend=f"Install {name}, or name its path.")) from error
    with process:
        try:
            printed, said = process.communicate(stdin, timeout=deadline)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise MacfleetError(_failed("E1204", f"{name} took longer than {deadline:g} s")) from error
        except BaseException:
            _kill(process)
            raise
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2][:300]
        summary = f"{name} ended with {process.returncode}" + (f": {last}" if last else "")
        raise MacfleetError(_failed("E1204", summary))
    return printed


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and what it started; it was not waited for yet, so its id is still its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _failed(code: str, summary: str, *, mend: str = "") -> Diagnostic:
    return Diagnostic(
        code,
        summary,
        why="A secret is wanted from it. It runs without a terminal, so it cannot ask anybody.",
        mend=mend or "Run the same command by hand; unlock the store it reads first.",
        exit_code=ExitCode.USAGE,
    )
