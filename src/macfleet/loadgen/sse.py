"""Server-sent events from bytes, as the WHATWG event stream format says, tolerant of nothing else."""

from __future__ import annotations

MAX_EVENT_BYTES = 8 * 2**20
_BOM = b"\xef\xbb\xbf"

SseEvent = tuple[bytes, bytes]


class EventTooLarge(ValueError):
    """An event grew past `MAX_EVENT_BYTES`; a client must not buffer without end."""


class SseParser:
    """Turns body bytes, cut anywhere, into events.

    Works on bytes: a line end is never part of a UTF-8 sequence, so a code point cut by a read needs no
    care. Lines end with LF, CRLF or CR; lines that start with a colon are comments; the space after the
    field's colon is optional; an event without a data field is dropped.
    """

    __slots__ = ("_data", "_fresh", "_name", "_size", "_skip_lf", "_tail")

    def __init__(self, *, begun: bool = False) -> None:
        """Begin at the begin of a stream, or with `begun` between two events of one."""
        self._tail = b""
        self._data: list[bytes] = []
        self._name = b""
        self._skip_lf = False
        self._fresh = not begun
        self._size = 0

    @property
    def between(self) -> bool:
        """Whether an event may begin here: one has been read, and nothing of the next."""
        return not (self._tail or self._data or self._name or self._skip_lf or self._fresh)

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Take body bytes and return the events they complete, each as (name, data).

        Raises:
            EventTooLarge: an unfinished event holds more than `MAX_EVENT_BYTES`.
        """
        if self._is_whole(piece):
            return [(b"", piece[6:-2])]
        if not piece:
            return []
        if self._skip_lf:
            self._skip_lf = False
            piece = piece.removeprefix(b"\n")
        text = self._tail + piece
        if b"\r" in text:
            # A CR ends its line at once; the LF of a CRLF cut between two reads is dropped with the next.
            self._skip_lf = text.endswith(b"\r")
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        self._tail = lines.pop()
        events = self._take(lines)
        if self._size + len(self._tail) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event holds more than {MAX_EVENT_BYTES} bytes")
        return events

    def _is_whole(self, piece: bytes) -> bool:
        """Whether a piece is one event of one data line between two others: nearly all of them are."""
        return (
            piece.startswith(b"data: ")
            and piece.find(b"\n") == len(piece) - 2
            and piece.endswith(b"\n\n")
            and b"\r" not in piece
            and self.between
        )

    def remainder(self) -> bytes:
        """Return the data of the event the stream ended in, which the format says to discard."""
        pending = [*self._data]
        if self._tail.startswith(b"data:"):
            pending.append(self._tail[5:].removeprefix(b" "))
        return b"\n".join(pending)

    def _take(self, lines: list[bytes]) -> list[SseEvent]:
        events: list[SseEvent] = []
        for raw in lines:
            line = raw
            if self._fresh:
                self._fresh = False
                line = line.removeprefix(_BOM)
            if not line:
                if self._data:
                    events.append((self._name, b"\n".join(self._data)))
                self._data = []
                self._name = b""
                self._size = 0
            else:
                self._field(line)
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
        elif name == b"event":
            self._name = value.removeprefix(b" ")
