"""Code of generated methods and of annotations, kept from one command to the next like compiled modules.

A frozen, slotted dataclass is six small functions, whose text `dataclasses` compiles anew in every process:
five sixths of what the class costs, and a command that asks nodes makes some 250 of them. `typing` compiles
each annotation that is text, some 700 times for the tables that pydantic declares. Their code lies beside
this package's own compiled modules, so it is as trusted and as replaceable as those.
"""

from __future__ import annotations

import dataclasses
import marshal
import os
import sys
import typing
from contextlib import suppress

try:
    # `hashlib` loads OpenSSL, three milliseconds before the first connection.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

if typing.TYPE_CHECKING:
    from types import CodeType

_NAME = "<string>"
"""What both call the file of a text that is in none."""
_MOST = 10_000
"""Functions kept at once; beyond it those that this command did not need go."""


class KeptCode:
    """Compiles what `dataclasses` and `typing` want compiled, or finds it in `file`.

    An empty name keeps nothing. A file that is missing, of another Python or cut short is one in which
    nothing is found.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._known = _read(file)
        self._used: dict[bytes, bytes] = {}
        self._annotations: dict[str, CodeType] = {}
        self._fresh = False

    def execute(self, text: str, names: dict[str, object], found: dict[str, object]) -> None:
        """Do what ``exec`` does with the same arguments."""
        exec(self._code(text, "exec"), names, found)  # noqa: S102 (in the place of exec itself)

    def annotation(self, text: str, name: str, mode: str) -> CodeType:
        """Do what ``compile`` does with an annotation: few are written once (raises SyntaxError)."""
        if mode != "eval" or name != _NAME:
            return compile(text, name, mode, dont_inherit=True)
        if text not in self._annotations:
            self._annotations[text] = self._code(text, mode)
        return self._annotations[text]

    def _code(self, text: str, mode: str) -> CodeType:
        key = blake2b(f"{mode} {text}".encode(), digest_size=16).digest()
        kept = self._known.get(key)
        if kept is None:
            code = compile(text, _NAME, mode, dont_inherit=True)
            kept = marshal.dumps(code)
            self._fresh = True
        else:
            code = marshal.loads(kept)  # noqa: S302 (as trusted as the compiled modules beside it)
        self._used[key] = kept
        return code

    def keep(self) -> None:
        """Write what was compiled, where it can be written; two commands at once may forget one another's."""
        if not self._fresh or not self._file or sys.dont_write_bytecode:
            return
        together = {**_read(self._file), **self._used}
        content = marshal.dumps((sys.version, together if len(together) <= _MOST else self._used))
        part = f"{self._file}.{os.getpid()}"
        try:
            with open(part, "wb") as file:  # noqa: PTH123 (pathlib is a hundredth of a second)
                file.write(content)
            os.replace(part, self._file)  # noqa: PTH105
        except OSError:
            # As with compiled modules: where they cannot be kept, the next command compiles again.
            with suppress(OSError):
                os.unlink(part)  # noqa: PTH108


def keep_code() -> KeptCode:
    """Have `dataclasses` and `typing` compile through a kept file; return what writes it at the end."""
    compiled = __spec__.cached
    kept = KeptCode(f"{compiled.removesuffix('.pyc')}.methods" if compiled else "")
    # Their functions look the names up in their module before they find the built-in ones.
    dataclasses.exec = kept.execute  # type: ignore[attr-defined]
    typing.compile = kept.annotation  # type: ignore[attr-defined]
    return kept


def _read(file: str) -> dict[bytes, bytes]:
    try:
        with open(file, "rb") as opened:  # noqa: PTH123
            version, known = marshal.loads(opened.read())  # noqa: S302 (see `execute`)
    except (OSError, ValueError, EOFError, TypeError):
        return {}
    return known if version == sys.version and isinstance(known, dict) else {}
