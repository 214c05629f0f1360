"""The machine macfleet runs on, as a node of its own: scripts run as the person who typed the command."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from macfleet.model.diagnostic import DeadlineExceeded, Diagnostic
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Completed

_PIECE = 64 * 2**10


class ControllerTransport:
    """A `Transport` without a connection; each script is a process group of its own."""

    def run(
        self,
        script: str,
        *,
        deadline: float,
        stdin: Iterable[bytes] | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run POSIX sh and return how it ended (raises DeadlineExceeded after `deadline` seconds)."""
        command = ["/bin/sh", "-s"] if stdin is None else ["/bin/sh", "-c", script]
        fed = (script.encode(),) if stdin is None else stdin
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        ) as process:
            threading.Thread(target=_feed, args=(process, fed), daemon=True).start()
            try:
                stdout, stderr = _heard(process, time.monotonic() + deadline, sink)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
            return Completed(process.wait(), stdout, stderr)

    @contextmanager
    def tunnel(self, port: int) -> Iterator[int]:
        """Yield the port itself: its loopback is here."""
        yield port

    def close(self) -> None:
        """Nothing is open between scripts."""


def _feed(process: subprocess.Popen[bytes], pieces: Iterable[bytes]) -> None:
    if process.stdin is None:
        return
    with suppress(BrokenPipeError, ValueError):  # a script may end before it has read everything
        for piece in pieces:
            process.stdin.write(piece)
        process.stdin.close()


def _heard(
    process: subprocess.Popen[bytes], end: float, sink: Callable[[bytes], None] | None
) -> tuple[bytes, bytes]:
    """Return stdout and stderr once both are closed; stdout goes to `sink` instead when there is one."""
    kept = {"out": bytearray(), "err": bytearray()}
    with selectors.DefaultSelector() as ready:
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            if stream is not None:
                ready.register(stream, selectors.EVENT_READ, (name, stream))
        while ready.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(_late())
            for key, _ in ready.select(left):
                name, stream = key.data
                piece = _read(stream)
                if not piece:
                    ready.unregister(stream)
                elif name == "out" and sink is not None:
                    sink(piece)
                else:
                    kept[name] += piece
    return bytes(kept["out"]), bytes(kept["err"])


def _read(stream: IO[bytes]) -> bytes:
    return os.read(stream.fileno(), _PIECE)


def _late() -> Diagnostic:
    return Diagnostic(
        "E0351",
        "a script on the controller ran past its deadline",
        mend="Look at what it waits for, or give its task a longer limit.",
        node="controller",
        exit_code=ExitCode.NODE_FAILED,
    )
