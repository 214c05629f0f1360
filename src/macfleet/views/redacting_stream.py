"""The last sink: stdout and stderr of a command, and the error it ends with."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from stat import S_ISREG
from typing import TextIO

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.views.redaction import MASK, Redactor


@contextmanager
def hushed(redactor: Redactor) -> Iterator[None]:
    """Take secrets out of what the block prints and of the error it ends with.

    A `MacfleetError` stays the same object; another error becomes a RuntimeError that names its type when its
    text, or that of an error behind it, holds a secret. What a child process writes to an inherited
    descriptor is not seen.

    Work on nodes goes on when nobody reads what is told of it, and when it cannot be written.

    Raises:
        MacfleetError: E0003 stdout could not be written; raised at the end, when all else is done.
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
        # With --debug the errors behind it are shown as well.
        chain = "".join(traceback.format_exception(error))
        if redactor.text(chain) == chain:
            raise
        told = redactor.text(str(error))
        raise RuntimeError(f"{type(error).__name__}: {told}") from None
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        out.finish()
        err.finish()
    if out.failure is not None:
        raise MacfleetError(unwritten(out.failure))


def unwritten(error: OSError) -> Diagnostic:
    """Return what is said when stdout could not be written (E0003)."""
    return Diagnostic(
        "E0003",
        f"the output could not be written: {error.strerror or error}",
        why="What the command does was done all the same; what it says of it is incomplete.",
        mend="Make room, or write elsewhere; what runs did: macfleet history",
        exit_code=ExitCode.INTERNAL,
    )


def nobody_reads(stream: TextIO | None) -> bool:
    """Whether the one who read a stream of this command went away."""
    return bool(getattr(stream, "unread", False))


def leave(stream: TextIO) -> None:
    """Send what a stream still holds, and all that follows, nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class RedactingStream(io.TextIOBase):
    """Text on its way to `inner`.

    What may be the beginning of a secret is held back until the next write shows whether it is one; a flush
    does not let it out. It has no `buffer`, so that nobody writes past it.

    Attributes:
        unread: whether the reader went away, as `head` does, or the terminal; no error, nothing follows.
        failure: what went wrong with writing otherwise, such as a full disk; nothing follows either.
    """

    def __init__(self, inner: TextIO, redactor: Redactor) -> None:
        self._inner = inner
        self._redactor = redactor
        self._lock = threading.RLock()
        self._held = ""
        self.unread = False
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write what is certain to hold no part of a secret; return the characters taken."""
        with self._lock:
            if self._redactor.forms or self._held:
                self._held = _pour(self._say, self._held + text, self._redactor)
            else:
                self._say(text)
        return len(text)

    def finish(self) -> None:
        """Write what was held back; nothing follows it any more."""
        with self._lock:
            rest, self._held = self._held, ""
            if rest:
                self._say(self._redactor.text(rest))

    def flush(self) -> None:
        """Flush what was written; what is held back stays."""
        try:
            self._inner.flush()
        except OSError as error:
            self._stopped(error)

    def _say(self, text: str) -> None:
        try:
            _write(self._inner, text)
        except OSError as error:
            self._stopped(error)

    def _stopped(self, error: OSError) -> None:
        """Take in that nothing more can be written: what is done on nodes must not end by it."""
        if _reader_went(error, self._inner):
            self.unread = True
        else:
            self.failure = self.failure or error
        leave(self._inner)

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


def _pour(say: Callable[[str], None], text: str, redactor: Redactor) -> str:
    """Say the part of the text that is certain; return the rest."""
    cut = len(text) - _beginning(text, redactor.forms)
    spans = redactor.spans(text)
    for start, end in spans:
        if start < cut < end:
            cut = start
    at = 0
    for start, end in spans:
        if end > cut:
            break
        say(text[at:start] + MASK)
        at = end
    say(text[at:cut])
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


def _write(inner: TextIO, text: str) -> None:
    """Write text; a stream that cannot encode a character gets its escape instead of an error."""
    try:
        inner.write(text)
    except UnicodeEncodeError:
        encoding = inner.encoding or "ascii"
        inner.write(text.encode(encoding, ESCAPED).decode(encoding))


def _reader_went(error: OSError, inner: TextIO) -> bool:
    """Whether it is the end of a pipe, or of a terminal, which is an I/O error on what is no file."""
    if error.errno != errno.EIO:
        return error.errno == errno.EPIPE
    with suppress(OSError, ValueError):
        return not S_ISREG(os.fstat(inner.fileno()).st_mode)
    return True


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write characters as JSON escapes them, so that a document stays one in every encoding."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end


ESCAPED = "macfleet.escaped"
"""Name of the codec's error handler for characters that an encoding lacks."""
codecs.register_error(ESCAPED, _escape)
