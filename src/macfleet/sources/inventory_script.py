"""Programs that list the inventory: run with ``--list``, with a deadline, each in a process group."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError

DEADLINE = 60.0
MOST_BYTES = 64 * 2**20
_TAIL = 2000


@dataclass(frozen=True, slots=True)
class InventoryScripts:
    """Runs executable inventory sources in the fleet folder, with the operator's environment.

    Attributes:
        root: the fleet folder; relative paths start there.
        deadline: seconds after which a program and everything it started is ended.
    """

    root: Path
    deadline: float = DEADLINE

    def runs(self, path: str) -> bool:
        """Whether the file is a program: executable for this user."""
        found = self.root / path
        return found.is_file() and os.access(found, os.X_OK)

    def list(self, path: str) -> bytes:
        """Return what the program prints for ``--list``.

        Raises:
            MacfleetError: E0231 it cannot be started, fails, prints nothing or more than 64 MiB; E0232 it
                takes longer than the deadline.
        """
        command = [str((self.root / path).absolute()), "--list"]
        try:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            mend = (
                "Its first line must name an interpreter that is installed, such as #!/usr/bin/env python3."
            )
            raise _failed(path, f"cannot be started: {error.strerror or error}", mend=mend) from error
        until = time.monotonic() + self.deadline
        with process:
            try:
                stdout, stderr = self._read(process, path, until)
                exit_code = process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                _end(process)
                raise _too_slow(path, self.deadline, stderr) from error
            except BaseException:
                _end(process)
                raise
        if exit_code:
            raise _failed(path, _ended(exit_code), stderr)
        if not stdout.strip():
            raise _failed(path, "prints nothing", stderr, 'It prints {"_meta": {"hostvars": {}}} at least.')
        return stdout

    def _read(self, process: subprocess.Popen[bytes], path: str, until: float) -> tuple[bytes, bytes]:
        """Read both streams until the program has closed them; of stderr the end is kept."""
        stdout, stderr = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            for stream, kept in ((process.stdout, stdout), (process.stderr, stderr)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, kept)
            while selector.get_map():
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready or time.monotonic() > until:
                    raise _too_slow(path, self.deadline, bytes(stderr))
                for key, _ in ready:
                    piece = os.read(key.fd, 65536)
                    if not piece:
                        selector.unregister(key.fileobj)
                    key.data.extend(piece)
                del stderr[:-_TAIL]
                if len(stdout) > MOST_BYTES:
                    raise _failed(path, f"prints more than {MOST_BYTES // 2**20} MiB")
        return bytes(stdout), bytes(stderr)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ended(exit_code: int) -> str:
    """Return how a program ended; a signal shows as a negative exit code."""
    if exit_code > 0:
        return f"ended with exit code {exit_code}"
    return f"was ended by {signal.Signals(-exit_code).name}"


def _failed(path: str, reason: str, stderr: bytes = b"", mend: str = "") -> MacfleetError:
    return MacfleetError(
        Diagnostic(
            "E0231",
            f"the inventory program {reason}",
            why=_said(stderr),
            mend=mend or f"Run it by hand: {path} --list",
            where=Location(path),
        )
    )


def _too_slow(path: str, deadline: float, stderr: bytes) -> MacfleetError:
    return MacfleetError(
        Diagnostic(
            "E0232",
            f"the inventory program took longer than {deadline:g} s and was ended",
            why=_said(stderr),
            mend=f"Let it answer from a cache, or save what it prints as a hosts file: {path} --list",
            where=Location(path),
        )
    )


def _said(stderr: bytes) -> str:
    text = stderr.decode("utf-8", "replace").strip()
    return f"It said: {text}" if text else ""
