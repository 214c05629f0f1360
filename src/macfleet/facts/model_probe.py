"""The script that brings the first bytes of model files from a Mac, and what they prove."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator, Sequence

from macfleet.facts.model_bytes import ModelFileRefused, PrefixSource
from macfleet.facts.model_files import SNIFF, inspect
from macfleet.model.resource import ProbeOutput, State
from macfleet.model.shell import words

# How much of a file is wanted follows from its first 24 bytes: safetensors say it; of GGUF only files with
# many keys carry a vocabulary, the further parts of a split model do not. Arithmetic stays below 2^41.
_SCRIPT = """\
left={limit}; files={count}
for file in {paths}; do
  if [ ! -f "$file" ]; then files=$((files - 1)); printf 'missing 0 %s\\n' "$file"; continue; fi
  size=$(($(wc -c <"$file")))
  set -- $(od -An -v -tu1 -N24 "$file")
  want={sniff}
  if [ "$1 $2 $3 $4" = "71 71 85 70" ] && [ $# = 24 ]; then
    want=$((left / files))
    if [ "${{18}}${{19}}${{20}}${{21}}${{22}}${{23}}${{24}}" = 0000000 ] && [ "${{17}}" -lt 16 ]; then
      want=$((1048576 + 256 * ($9 + 256 * ${{10}})))
    fi
  elif [ $# -ge 9 ] && [ "$5 $6 $7 $8 $9" = "0 0 0 0 123" ]; then
    want=$((8 + $1 + 256 * $2 + 65536 * $3 + 16777216 * $4))
    [ "$want" -ge {sniff} ] || want={sniff}
  fi
  [ "$want" -le "$size" ] || want=$size
  [ "$want" -le "$left" ] || want=$left
  left=$((left - want)); files=$((files - 1))
  printf 'file %s %s\\n' "$size" "$file"
  head -c "$want" "$file" | gzip -c | base64 | tr -d '\\n'
  echo
done
"""


def header_script(paths: Sequence[str], limit: int) -> str:
    """Return POSIX sh that prints, of each file, a line with its size and a line with its first bytes.

    All files together bring at most `limit` bytes, compressed and as base64 with the tools of a stock macOS.
    A vocabulary gets an equal part of what is left, and files that need less leave more to those after them.
    """
    if not paths:
        return ":"
    return _SCRIPT.format(paths=words(paths), limit=limit, count=len(paths), sniff=SNIFF)


def parse_headers(output: ProbeOutput, limit: int) -> State:
    """Return what each file is: ``ok …``, ``refused …`` with the reason, or ``missing``.

    Raises:
        ValueError: the node did not print what the script prints.
    """
    return dict(_judged(output.stdout.splitlines(), limit))


def _judged(lines: Sequence[str], limit: int) -> Iterator[tuple[str, str]]:
    rest = iter(lines)
    for line in rest:
        kind, size, path = (*line.split(" ", 2), "", "")[:3]
        if kind == "missing":
            yield path, "missing"
        elif kind == "file" and size.isdecimal() and path:
            yield path, _judge(_unpacked(next(rest, ""), limit), int(size))
        elif line.strip():
            raise ValueError(f"unexpected line {line[:80]!r}")


def _judge(head: bytes, size: int) -> str:
    try:
        return f"ok {inspect(PrefixSource(head, size))}"
    except ModelFileRefused as refused:
        return f"refused {refused}"


def _unpacked(text: str, limit: int) -> bytes:
    """Unpack at most `limit` bytes, whatever the node sent."""
    try:
        return zlib.decompressobj(wbits=31).decompress(base64.b64decode(text, validate=True), limit)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"the first bytes of a file did not arrive: {error}") from error
