"""Regular expressions of modules, kept as the code of their methods is.

`re` takes the expressions that modules compile while they are imported apart anew in every process. There
are a hundred in a command that asks nodes, and they cost a seventh of what it computes before its first
connection; one of PyYAML's, of all printable characters, costs half of that.
"""

from __future__ import annotations

import importlib
import inspect
import marshal
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Found = tuple[int, list[int], int, dict[str, int], tuple[str | None, ...]]
    """What the engine takes besides the text: flags, its code, how many groups, and their names both ways."""
    Keep = Callable[[str, Callable[[], bytes]], bytes]

_NEVER = int(re.DEBUG | re.LOCALE)
"""One prints while it compiles, the other depends on more than the text."""


class KeptPatterns:
    """Compiles regular expressions through `keep`, which knows by a name what it was given before."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._compiler = importlib.import_module("re._compiler")
        self._compile: Callable[[object, int], re.Pattern[str]] = self._compiler.compile

    def compile(self, text: object, flags: int = 0) -> re.Pattern[str]:
        """Do what `re` does with an expression it has not seen (raises re.error).

        Only what stands in the body of a module or of a class is kept: that is the same in every process.
        What is put together later may name nodes, or worse.
        """
        if not isinstance(text, str | bytes) or flags & _NEVER or not _in_a_body():
            return self._compile(text, flags)
        kept = self._keep(f"re {flags:d} {text!r}", lambda: marshal.dumps(self._taken_apart(text, flags)))
        found: re.Pattern[str] = self._compiler._sre.compile(text, *marshal.loads(kept))  # noqa: S302, SLF001 (as trusted as compiled modules)
        return found

    def _taken_apart(self, text: str | bytes, flags: int) -> Found:
        """Do the first half of what `re` does, as of Python 3.11 to 3.14."""
        parsed = self._compiler._parser.parse(text, flags)  # noqa: SLF001
        code = [int(each) for each in self._compiler._code(parsed, flags)]  # noqa: SLF001 (they are of a kind of int)
        names: dict[str, int] = dict(parsed.state.groupdict)
        by_group = {group: name for name, group in names.items()}
        groups: int = parsed.state.groups
        return (
            flags | parsed.state.flags,
            code,
            groups - 1,
            names,
            tuple(by_group.get(group) for group in range(groups)),
        )


def keep_patterns(keep: Keep) -> None:
    """Have `re` compile through `keep`; where its parts have other names, as ever."""
    patterns = KeptPatterns(keep)
    compiler = importlib.import_module("re._compiler")
    if all(hasattr(compiler, name) for name in ("_code", "_parser", "_sre")):
        compiler.compile = patterns.compile  # type: ignore[attr-defined]


def _in_a_body() -> bool:
    """Whether whoever called a function of `re` is no function."""
    frame = sys._getframe(2)  # noqa: SLF001 (there is no other way to ask)
    for _ in range(2):
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return not frame.f_code.co_flags & inspect.CO_OPTIMIZED
