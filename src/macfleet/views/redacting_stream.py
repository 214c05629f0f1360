"""The last sink: stdout and stderr of a command, and the error it ends with."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from macfleet.model.diagnostic import MacfleetError
from macfleet.views.redaction import MASK, Redactor


@contextmanager
def hushed(redactor: Redactor) -> Iterator[None]:
    """Take secrets out of what the block prints and of the error it ends with.

    A `MacfleetError` stays the same object; another error whose text holds a secret becomes a RuntimeError
    that names its type. What a child process writes to an inherited descriptor is not seen.
    """
    stdout, stderr = sys.stdout, sys.stderr
    out, err = RedactingStream(stdout, redactor), RedactingStream(stderr, redactor)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    except MacfleetError as error:
        error.diagnostics = redactor.value(error.diagnostics)
        error.document = redactor.value(error.document)
        error.args = redactor.value(error.args)
        raise
    except Exception as error:
        told = redactor.text(str(error))
        if told == str(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {told}") from None
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        out.finish()
        err.finish()


class RedactingStream(io.TextIOBase):
    """Text on its way to `inner`.

    What may be the beginning of a secret is held back until the next write shows whether it is one; a flush
    does not let it out. It has no `buffer`, so that nobody writes past it.
    """

    def __init__(self, inner: TextIO, redactor: Redactor) -> None:
        self._inner = inner
        self._redactor = redactor
        self._lock = threading.RLock()
        self._held = ""

    def write(self, text: str) -> int:
        """Write what is certain to hold no part of a secret; return the characters taken."""
        with self._lock:
            if self._redactor.forms or self._held:
                self._held = _pour(self._inner, self._held + text, self._redactor)
            else:
                _say(self._inner, text)
        return len(text)

    def finish(self) -> None:
        """Write what was held back; nothing follows it any more."""
        with self._lock:
            rest, self._held = self._held, ""
            if rest:
                _say(self._inner, self._redactor.text(rest))

    def flush(self) -> None:
        """Flush what was written; what is held back stays."""
        self._inner.flush()

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        return self._inner.isatty()

    def fileno(self) -> int:
        """Return the descriptor beneath, for asking about the terminal."""
        return self._inner.fileno()

    def writable(self) -> bool:
        """Text can be written."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream beneath."""
        return self._inner.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What the stream beneath does about characters it cannot encode."""
        return self._inner.errors


def _pour(inner: TextIO, text: str, redactor: Redactor) -> str:
    """Write the part of the text that is certain; return the rest."""
    cut = len(text) - _beginning(text, redactor.forms)
    spans = redactor.spans(text)
    for start, end in spans:
        if start < cut < end:
            cut = start
    at = 0
    for start, end in spans:
        if end > cut:
            break
        _say(inner, text[at:start] + MASK)
        at = end
    _say(inner, text[at:cut])
    return text[cut:]


def _beginning(text: str, forms: tuple[str, ...]) -> int:
    """Return how many characters at the end of the text may be the beginning of a secret."""
    earliest = len(text)
    for form in forms:
        start = text.find(form[0], max(len(text) - len(form) + 1, 0), earliest)
        while start >= 0:
            if form.startswith(text[start:]):
                earliest = start
                break
            start = text.find(form[0], start + 1, earliest)
    return len(text) - earliest


def _say(inner: TextIO, text: str) -> None:
    """Write text; a stream that cannot encode a character gets its escape instead of an error."""
    try:
        inner.write(text)
    except UnicodeEncodeError:
        encoding = inner.encoding or "ascii"
        inner.write(text.encode(encoding, "backslashreplace").decode(encoding))
