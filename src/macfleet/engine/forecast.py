"""What a node answers if nothing changed since it was planned, told beforehand down to the byte.

So the node itself can tell that a plan still fits, and the first level needs no answer from here. Where the
answer is another one for whatever reason, it is sent and looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from macfleet.engine.script import CODA, Fragment, body
from macfleet.model.resource import ProbeOutput
from macfleet.model.shell import quote

_LARGEST = 2**16
"""Bytes of answers that are sent along; beyond them it is cheaper to send the answers here."""


def only_as_planned(
    fragments: Sequence[Fragment], answers: Mapping[str, ProbeOutput], *, mark: str, start: int
) -> str:
    """Return script text that goes on where probes answer as they did, and says ``same``.

    Otherwise, or where ``mf_took`` says that the run met its own lock, it shows the answers and ends the
    script.

    Args:
        fragments: probes, by the names of `answers`; they answer under numbers from `start` on.
        answers: what the node said when it was planned.
        mark: what begins a marker's line.
        start: a number that no other fragment of the script has.

    Returns:
        Nothing where the answer cannot be foretold or is large.
    """
    if any(fragment.name not in answers or answers[fragment.name].cut for fragment in fragments):
        return ""
    foretold = "".join(_answer(fragments, answers, mark, start))
    if "\0" in foretold or len(foretold) > _LARGEST:
        return ""
    return f"""{body(fragments, start)}
mf_foretold={quote(foretold)}
mf_same() {{
  [ -z "$mf_took" ] || return
  if [ -z "$mf_seen" ]; then [ "$mf_told" = "$mf_foretold" ]; return; fi
  printf '%s' "$mf_foretold" >"$mf_dir/foretold"
  {{ printf '%s' "$mf_told"; eval "cat $mf_seen"; }} 2>/dev/null | cmp -s - "$mf_dir/foretold"
}}
if mf_same
then mf_told=; mf_seen=; mf_say same
else
mf_end
{CODA}fi
"""


def _answer(
    fragments: Sequence[Fragment], answers: Mapping[str, ProbeOutput], mark: str, start: int
) -> Iterator[str]:
    for shared, run in groupby(enumerate(fragments, start), key=lambda each: each[1].shares):
        members = [(at, each.file, answers[each.name]) for at, each in run]
        if shared:
            yield _of_group(members, mark)
            continue
        for at, _, said in members:
            yield f"\n{mark} out {at} {said.exit} 0\n{said.stdout}\n{mark} err {at}\n{said.stderr}"


def _of_group(members: Sequence[tuple[int, str, ProbeOutput]], mark: str) -> str:
    """Return what a group of plain probes says: the tables of their files, then each one's own words."""
    modes, sums, words = "", "", ""
    for at, path, said in members:
        own, mode, digest = _apart(said.stdout, path) if path else (said.stdout, "", "")
        if digest:
            modes += f"{mode} {path}\n"
            sums += digest
            own += f"\n{mark} file\n"
        words += f"{own}\n{mark} part {at} {said.exit}\n"
    first = members[0][0]
    tables = f"\n{mark} modes\n{modes}\n{mark} sums\n{sums}\n{mark} look\n" if sums else ""
    return f"\n{mark} out {first} 0 0\n{tables}{words}\n{mark} err {first}\n"


def _apart(stdout: str, path: str) -> tuple[str, str, str]:
    """Return what a probe said itself, and the line of either table; empty where it asked about no file."""
    if not stdout.endswith(f"  {path}\n"):
        return stdout, "", ""
    before, _, digest = stdout[:-1].rpartition("\n")
    before, _, owner = before.rpartition(" ")
    own, gap, mode = before.rpartition(" ")
    return f"{own}{gap}", f"{mode} {owner}", f"{digest}\n"
