"""A part of a text file is changed on the node: lines are found by awk, the rest stays as it is.

Values reach awk through its environment, so that nothing in them is syntax. The file is replaced in one
step by a copy with the same mode, owner and extended attributes; a link or a binary file is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from macfleet.model.shell import quote
from macfleet.resources import ownership

_FOREIGN = re.compile(r"\\[dDsSwWbB]|\(\?")


def _pattern(value: str) -> str:
    if "\n" in value or "\0" in value:
        raise ValueError("a pattern is matched against single lines; it must not hold a line break")
    if _FOREIGN.search(value):
        raise ValueError(
            f"{value!r} is no extended regular expression of POSIX: write [0-9] or [[:space:]], and no (?"
        )
    try:
        with warnings.catch_warnings():  # [[:space:]] is a set of sets to come in Python's own
            warnings.simplefilter("ignore")
            re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from error
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]


def probe(path: str, program: str, values: Mapping[str, str], *, become: bool) -> str:
    """Return probe text that prints ``absent``, ``other``, or ``file`` and what the awk program prints."""
    script = (
        f"p={quote(path)}\n"
        'if [ -L "$p" ]; then echo other link\n'
        f'elif [ -f "$p" ]; then printf \'file \'; {_awk(program, values)} "$p"\n'
        'elif [ -e "$p" ]; then echo other\nelse echo absent; fi'
    )
    return ownership.as_root(script, become=become)


def rewrite(path: str, program: str, values: Mapping[str, str]) -> str:
    """Return the script that replaces a file by what the awk program makes of it, or makes it anew."""
    folder, form = quote(path.rpartition("/")[0] or "/"), quote(ownership.FORMAT)
    awk = _awk(program, values)
    return f"""set -e
p={quote(path)}
t=$(mktemp {folder}/.macfleet.XXXXXX)
trap 'rm -f "$t"' EXIT
if [ -f "$p" ]; then
  if [ "$(tr -d '\\000' <"$p" | wc -c)" -ne "$(wc -c <"$p")" ]; then
    echo "$p holds NUL bytes; it is no text" >&2; exit 1
  fi
  was=$(stat -f {form} "$p")
  cp -p "$p" "$t"
  chmod u+w "$t"
  {awk} "$p" >"$t"
  [ "$(stat -f '%Su:%Sg' "$t")" = "${{was#* }}" ] || chown "${{was#* }}" "$t"
  chmod "${{was%% *}}" "$t"
else
  {awk} </dev/null >"$t"
  chmod 0644 "$t"
fi
mv -f "$t" "$p\""""


def placed(after: str, before: str) -> dict[str, str]:
    """Return the values `PLACE` reads."""
    return {"mf_after": after, "mf_before": before}


PLACE = """
function place(count, lines,    i, at) {
  at = count + 1
  if (ENVIRON["mf_after"] != "")
    for (i = 1; i <= count; i++) if (lines[i] ~ ENVIRON["mf_after"]) at = i + 1
  if (ENVIRON["mf_before"] != "")
    for (i = count; i >= 1; i--) if (lines[i] ~ ENVIRON["mf_before"]) at = i
  return at
}
function anchored(text) {
  return (ENVIRON["mf_after"] != "" && text ~ ENVIRON["mf_after"]) || (ENVIRON["mf_before"] != "" && text ~ ENVIRON["mf_before"])
}
"""  # noqa: E501  (awk takes no line break before ||)
"""Awk functions: before which line to put something new, and whether a line is one it is put beside."""

SAME = """
function same(a, b) { return (a "") == (b "") }
"""
"""Awk function: whether two texts are equal; awk itself takes 010 and 10 for one number."""


def _awk(program: str, values: Mapping[str, str]) -> str:
    settings = " ".join(f"{name}={quote(value)}" for name, value in values.items())
    return f"{settings} awk {quote(program)}"
