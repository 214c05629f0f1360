"""The files of many probes read by few programs, and by one shell: what a look costs is programs started.

A Mac's shasum(1) is a Perl script and takes 20 ms a start, a subshell a probe half a millisecond anywhere. So
one `stat` and one `sha256sum`, which macOS has since 15, or one `shasum` read what a group of neighbours asks
about; their tables travel as they are, and are taken apart here, since a shell reads its files byte by byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from macfleet.model.shell import quote, words

_FORMAT = "%Mp%Lp %Su:%Sg"
FUNCTIONS = f"""mf_known=
mf_sums() {{ if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }}
mf_file() {{
  if [ -n "$mf_known" ]; then printf '\\n%s file\\n' "$mf_mark"; return; fi
  stat -f '{_FORMAT}' "$1" && mf_sums <"$1"
}}
mf_files() {{
  for mf_path do shift; if [ -f "$mf_path" ]; then set -- "$@" "$mf_path"; fi; done
  [ $# -gt 0 ] || return
  printf '\\n%s modes\\n' "$mf_mark"; stat -f '{_FORMAT} %N' "$@" 2>/dev/null
  printf '\\n%s sums\\n' "$mf_mark"; mf_sums "$@" 2>/dev/null
  printf '\\n%s look\\n' "$mf_mark"
  mf_known=1
}}
mf_part() {{ printf '\\n%s part %s %s\\n' "$mf_mark" "$1" "$?"; }}
"""


def can_share(path: str) -> bool:
    """Whether a path stands in the tables as it is: `shasum` marks some signs."""
    return path != "" and "\n" not in path and "\\" not in path


def group_text(parts: Sequence[tuple[int, str, str]]) -> str:
    """Return one fragment's text for several: each an index, the text and the file it asks about or none.

    What is asked of several files is written once: bash, which is a Mac's ``sh``, reads a script on stdin
    byte by byte, and beyond ten packets a script waits for the first of them to be confirmed.
    """
    asked = words([path for _, _, path in parts if path])
    often = Counter(rest for part in parts if (rest := _after_path(part)))
    same = {rest: f"mf_same{at}" for at, rest in enumerate(often) if often[rest] > 1}
    lines = [f"mf_files {asked}"] if asked else []
    lines += (f"{name}() {{\n{rest}\n}}" for rest, name in same.items())
    for part in parts:
        index, text, path = part
        name = same.get(_after_path(part))
        lines.append(f"p={quote(path)}\n{name}" if name else text)
        lines.append(f"mf_part {index}")
    return "\n".join(lines)


def _after_path(part: tuple[int, str, str]) -> str:
    """Return what a text says after it has set ``p`` to the file it asks about; empty where it does not."""
    _, text, path = part
    first, _, rest = text.partition("\n")
    return rest if path and first == f"p={quote(path)}" else ""


def group_call(parts: Sequence[tuple[int, str, str]], limit: int) -> str:
    """Return the script line that runs a group; it has the place of its first member."""
    return f"mf_group {parts[0][0]} {limit} {quote(group_text(parts))}"


class Tables:
    """What was said of files by path: a line of mode and owner, then the line of `shasum`."""

    def __init__(self) -> None:
        self._modes: dict[str, str] = {}
        self._sums: dict[str, str] = {}

    def take(self, table: str, body: str) -> None:
        """Take the lines of ``modes`` or ``sums``."""
        for line in body.splitlines():
            if table == "modes":
                mode, _, rest = line.partition(" ")
                owner, _, path = rest.partition(" ")
                self._modes[path] = f"{mode} {owner}\n"
            else:
                _, _, path = line.partition("  ")
                self._sums[path] = f"{line}\n"

    def of(self, path: str) -> str | None:
        """Return both lines of a file; None when one is missing."""
        mode, digest = self._modes.get(path), self._sums.get(path)
        return None if mode is None or digest is None else mode + digest


def tables_of(sections: Sequence[tuple[str, str]]) -> Tables:
    """Return the tables among sections of an answer, each a label and what follows it."""
    tables = Tables()
    for label, body in sections:
        if label in {"modes", "sums"}:
            tables.take(label, body)
    return tables
