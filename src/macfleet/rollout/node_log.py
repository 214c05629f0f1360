"""One log a node: what happened to it and every script that ran on it, in the run's folder."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from macfleet.engine.script import purpose_of
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.node import Node
from macfleet.model.ports import Clock, Completed, Events, RunWriter, Transport, Transports
from macfleet.rollout.result import Timed

LINES = 30
"""Lines of a script's stdout, and of its stderr, that are kept: the last ones."""
_BYTES = 64 * 2**10
_LONGEST = 400
_MARKER = re.compile(r"^--\S+ (out|err|go|lost|tail|found|vanished|end)\b(.*)$", re.ASCII)
_ENDS = ("change.done", "change.failed")
_QUIET = ("change.output", "loadtest.segment")
"""Events whose text is in a script's output, or that come so often that they would hide the rest."""


def log_path(node: str) -> str:
    """Return where a node's log stands inside a run."""
    return f"nodes/{node}/log.txt"


@dataclass(slots=True)
class NodeLogs:
    """An `Events` sink, and what `LoggedTransports` writes to; safe from any thread.

    Nothing is noted before `begin`. What happens before there is a run's folder is kept and written once
    there is one: a run without work leaves nothing.

    Attributes:
        redact: takes secrets out of a script's output before any of it is cut off.
    """

    redact: Callable[[str], str] = str
    _clock: Clock | None = None
    _writer: RunWriter | None = None
    _timed: list[Timed] = field(default_factory=list)
    _pending: dict[str, list[str]] = field(default_factory=dict)
    _together: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def emit(self, event: Event) -> None:
        """Write what happened to a node."""
        seconds = event.data.get("seconds")
        if event.kind in _ENDS and isinstance(seconds, int | float):
            with self._lock:
                self._timed.append(Timed(event.node, str(event.data.get("address")), float(seconds)))
        if event.node and event.kind not in _QUIET:
            told = ", ".join(f"{key} {value}" for key, value in event.data.items() if value not in ("", None))
            self._write(event.node, f"{event.kind}  {told}".rstrip())

    @contextmanager
    def together(self, node: str) -> Iterator[None]:
        """Write what happens to a node during a block when it ends; one thread at a time does so."""
        with self._lock:
            self._together[node] = []
        try:
            yield
        finally:
            with self._lock:
                if entries := self._together.pop(node):
                    self._keep(node, entries)

    def ran(
        self, node: str, script: str, seconds: float, done: Completed | MacfleetError, stdout: bytes = b""
    ) -> None:
        """Write what a script was for, how long it took, how it ended, and the end of what it printed."""
        purpose = purpose_of(script) or f"a script of {len(script.encode())} bytes"
        if isinstance(done, MacfleetError):
            self._write(node, f"script  {purpose} · {seconds:.2f} s · {done}")
            return
        text = self.redact(stdout.decode("utf-8", "replace"))
        errors = self.redact(done.stderr.decode("utf-8", "replace"))
        head = f"script  {purpose} · {seconds:.2f} s · exit {done.exit}"
        self._write(node, head, *_tail("out", text), *_tail("err", errors))

    def problems(self, node: str, found: Iterable[Diagnostic]) -> None:
        """Write what went wrong, with its reason."""
        for each in found:
            words = " ".join(filter(None, (each.code, each.address, each.summary)))
            self._write(node, f"problem  {words}", *each.why.splitlines())

    def begin(self, clock: Clock) -> None:
        """Forget what was kept: another run begins."""
        with self._lock:
            self._clock, self._writer = clock, None
            self._timed.clear()
            self._pending.clear()

    def attach(self, writer: RunWriter | None) -> None:
        """Write to a run's folder from now on, and what was kept so far; None ends that."""
        with self._lock:
            self._writer = writer
            kept, self._pending = (self._pending, {}) if writer is not None else ({}, self._pending)
            for node, entries in kept.items():
                self._append(node, entries)

    def slowest(self, most: int) -> tuple[Timed, ...]:
        """Return the changes of this run that took longest, the longest first; equals by node and address."""
        with self._lock:
            ordered = sorted(self._timed, key=lambda each: (-each.seconds, each.node, each.address))
        return tuple(ordered[:most])

    def _write(self, node: str, head: str, *more: str) -> None:
        if self._clock is None:
            return
        moment = dt.datetime.fromtimestamp(self._clock.now(), tz=dt.UTC)
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = "\n".join(
            [f"{stamp}  {' '.join(head.split(chr(10)))}", *(f"    {line}" for line in more), ""]
        )
        with self._lock:
            if node in self._together:
                self._together[node].append(entry)
            else:
                self._keep(node, [entry])

    def _keep(self, node: str, entries: Sequence[str]) -> None:
        if self._writer is None:
            self._pending.setdefault(node, []).extend(entries)
        else:
            self._append(node, entries)

    def _append(self, node: str, entries: Iterable[str]) -> None:
        if self._writer is not None:
            self._writer.append(log_path(node), "".join(entries))


@dataclass(frozen=True, slots=True)
class BothEvents:
    """An `Events` that tells two."""

    first: Events
    second: Events

    def emit(self, event: Event) -> None:
        """Hand one event to both."""
        self.first.emit(event)
        self.second.emit(event)


@dataclass(frozen=True, slots=True)
class LoggedTransports:
    """A `Transports` whose scripts are written to the nodes' logs."""

    inner: Transports
    logs: NodeLogs
    clock: Clock

    def to(self, node: Node) -> LoggedTransport:
        """Return the node's transport, connecting on first use."""
        return LoggedTransport(self.inner.to(node), node.name, self.logs, self.clock)

    def close(self) -> None:
        """Close all connections."""
        self.inner.close()


@dataclass(frozen=True, slots=True)
class LoggedTransport:
    """A `Transport` that notes every script."""

    inner: Transport
    node: str
    logs: NodeLogs
    clock: Clock

    def run(
        self,
        script: str,
        *,
        deadline: float,
        stdin: Iterable[bytes] | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run a script and note it, also when it ends in an error."""
        began = self.clock.monotonic()
        heard = bytearray()
        listening = None if sink is None else _overheard(sink, heard)
        try:
            done = self.inner.run(script, deadline=deadline, stdin=stdin, sink=listening)
        except MacfleetError as error:
            self.logs.ran(self.node, script, self.clock.monotonic() - began, error)
            raise
        stdout = done.stdout or bytes(heard)
        self.logs.ran(self.node, script, self.clock.monotonic() - began, done, stdout)
        return done

    def tunnel(self, port: int) -> AbstractContextManager[int]:
        """Forward a local port to `port` of the node's loopback."""
        return self.inner.tunnel(port)

    def close(self) -> None:
        """Close the connection."""
        self.inner.close()


def _overheard(sink: Callable[[bytes], None], heard: bytearray) -> Callable[[bytes], None]:
    """Return a sink that keeps the last whole lines in `heard` besides."""

    def listen(piece: bytes) -> None:
        heard.extend(piece)
        if len(heard) > 2 * _BYTES:
            end = heard.find(b"\n", len(heard) - _BYTES) + 1
            del heard[: end or len(heard)]
        sink(piece)

    return listen


def _tail(name: str, text: str) -> Iterator[str]:
    """Yield the last lines, markers in words; a line too long to read is counted, not cut.

    A cut inside of a line could leave half of something that would have been taken out as a whole.
    """
    lines = [line for line in map(_in_words, text.splitlines()) if line.strip()]
    if len(lines) > LINES:
        yield f"{name}| … {len(lines) - LINES} lines before"
    for line in lines[-LINES:]:
        yield f"{name}| {line if len(line) <= _LONGEST else f'… a line of {len(line)} characters'}"


def _in_words(line: str) -> str:
    found = _MARKER.match(line) if line.startswith("--") else None
    if found is None:
        return line
    fields = found[2].split()
    if found[1] == "out" and len(fields) > 1:
        return f"[{fields[0]}] exit {fields[1]}" if fields[1] != "0" else ""
    return f"[{fields[0]}] {found[1]}" if found[1] in ("go", "lost", "vanished") and fields else ""
