"""What stays the same from event to event of one answer, so that the next needs no parser.

An engine repeats itself: of two events that carry text, only the text differs. Once an event is understood,
the bytes before and after its text are kept. Bytes that begin and end like it, with a JSON string's content
between, mean the same again. What fits is never interpreted; what does not fit is parsed as ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache

from macfleet.loadgen.answer import Answer
from macfleet.loadgen.sse import SseParser

_CONTENT = rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})++'
# What may stand between a JSON string's quotes, at least one character of it (RFC 8259, section 7).
_IS_CONTENT = re.compile(_CONTENT).fullmatch
_TEXT = re.compile(rb'"(content|reasoning_content|reasoning|refusal|text)"\s*:\s*"(' + _CONTENT + rb')"')
# Two texts no engine chose: what is read must be what was put in, whichever of them it is.
_TRIALS = ("a", "b")


class Stencil:
    """Recognises further events of the answer it was learnt from.

    Attributes:
        again: told the stamp of each event that fits: text arrived, and nothing else happened.
    """

    __slots__ = ("_again", "_head", "_tail")

    def __init__(self, head: bytes, tail: bytes, again: Callable[[int], None]) -> None:
        self._head = head
        self._tail = tail
        self._again = again

    def body(self, read: bytes | bytearray, size: int, stamp: int) -> int:
        """Take the first `size` bytes as one event; return them as bytes of body, 0 when they do not fit."""
        return size if self._fits(read, 0, size, stamp) else 0

    def chunk(self, read: bytes | bytearray, size: int, stamp: int) -> int:
        """Take the first `size` bytes as one HTTP chunk of one event; return its bytes of body, or 0.

        Sizes are expected as lower-case hexadecimal without further zeros, as engines write them.
        """
        line = _size_line(size)
        begin, end = len(line), size - 2
        whole = read.startswith(line) and read.startswith(b"\r\n", end)
        return end - begin if whole and self._fits(read, begin, end, stamp) else 0

    def _fits(self, read: bytes | bytearray, begin: int, end: int, stamp: int) -> bool:
        text_begin, text_end = begin + len(self._head), end - len(self._tail)
        if (
            text_begin < text_end
            and read.startswith(self._head, begin)
            and read.startswith(self._tail, text_end)
            and _IS_CONTENT(read, text_begin, text_end) is not None
        ):
            self._again(stamp)
            return True
        return False


def learnt(event: bytes, again: Callable[[int], None]) -> Stencil | None:
    """Return what recognises further events like this one.

    None unless `event` is one whole event that carries text and means nothing besides: no end, no error, no
    counts.
    """
    for found in _TEXT.finditer(event):
        begin, end = found.span(2)
        head, tail = event[:begin], event[end:]
        if all(_says(head + trial.encode() + tail, found[1].decode(), trial) for trial in _TRIALS):
            return Stencil(head, tail, again)
    return None


def _says(event: bytes, name: str, text: str) -> bool:
    """Whether an event is one, its only choice says `text` under `name`, and it means nothing besides."""
    parser = SseParser(begun=True)
    found = parser.feed(event)
    if len(found) != 1 or not parser.between:
        return False
    [(kind, data)] = found
    answer, plain = Answer(), Answer()
    answer.event(kind, data, 1)
    plain.first_event = 1
    plain.text(1, visible=answer.first_visible is not None)
    if any(getattr(answer, each) != getattr(plain, each) for each in Answer.__slots__):
        return False
    # It was understood just now: an object with a list of choices, one of which is an object with text.
    choices = json.loads(data.decode("utf-8", "replace"))["choices"]
    delta = choices[0].get("delta")
    return len(choices) == 1 and (delta if isinstance(delta, dict) else choices[0]).get(name) == text


@lru_cache(maxsize=1024)
def _size_line(size: int) -> bytes:
    """Return the size line of a chunk that takes `size` bytes in all, its line and its end included."""
    for digits in range(1, 9):
        line = b"%x\r\n" % max(0, size - digits - 4)
        if len(line) == digits + 2:
            return line
    # No chunk takes so many, such as 262: its size would have three digits with two, and two with three.
    return b"\r\n"
