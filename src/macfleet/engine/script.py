"""Many probes and steps as one POSIX script, and its answer taken apart again.

Everything runs under ``/bin/sh`` with the tools of a stock macOS: no timeout(1), no flock(1), no GNU flags.
Each fragment runs in a subshell of its own with stdin closed and its output in a file, so a fragment
that exits, reads stdin, leaves children behind or prints a marker cannot disturb its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from macfleet.engine.files import FUNCTIONS, Tables, can_share, group_call, tables_of
from macfleet.model.resource import Probe, ProbeOutput
from macfleet.model.shell import quote

HOMEBREW_PATH = "/opt/homebrew/bin:/opt/homebrew/sbin:/usr/bin:/bin:/usr/sbin:/sbin"

ENVIRONMENT = f"""PATH={HOMEBREW_PATH}; export PATH
LC_ALL=C; export LC_ALL
umask 022
"""
# Killing a tree needs pgrep because a shell without a terminal has no job control to group processes.
WATCHING = """mf_kill() { for mf_c in $(pgrep -P "$1"); do mf_kill "$mf_c"; done; kill -9 "$1" 2>/dev/null; }
mf_watch() {
  mf_last=; mf_n=0; mf_b=0
  while kill -0 "$$" 2>/dev/null; do
    sleep 1
    mf_b=$((mf_b + 1)); echo "$mf_b" 2>/dev/null >"$mf_dir/beat"
    mf_i=; read -r mf_i mf_p mf_l 2>/dev/null <"$mf_dir/now" || continue
    if [ "$mf_i" = "$mf_last" ]; then mf_n=$((mf_n + 1)); else mf_n=0; mf_last=$mf_i; fi
    if [ "$mf_n" -ge "$mf_l" ]; then echo cut >"$mf_dir/$mf_i.cut"; mf_kill "$mf_p"; fi
  done
}
"""
# Steps answer one by one, so that what was done is known; probes answer together, through one `cat`.
# A controller that is gone is noticed by writing to it: a group of steps that began is finished all the same,
# and none begins after it. Subshells have the signal's own effect again.
_PRELUDE = f"""{ENVIRONMENT}mf_dir=$(mktemp -d "${{TMPDIR:-/tmp}}/macfleet.XXXXXX") || exit 70
mf_free=; mf_gone=0; trap 'mf_gone=1' PIPE
{WATCHING}mf_watch </dev/null >/dev/null 2>&1 &
mf_watcher=$!
mf_say() {{ printf '\\n%s %s\\n' "$mf_mark" "$1" 2>/dev/null || mf_gone=1; }}
mf_mine() {{ :; }}
mf_begin() {{
  [ "$mf_ok" = 1 ] || return
  if mf_mine; then mf_say "go $1"; else mf_lost; mf_ok=0; fi
  [ "$mf_gone" = 0 ] || mf_ok=0
}}
mf_answer() {{
  if [ ! -s "$2" ] && [ ! -s "$3" ]; then # in one piece: each is a packet to the controller
    mf_say "out $1 $mf_rc $mf_cut

$mf_mark err $1"
    return
  fi
  mf_say "out $1 $mf_rc $mf_cut"
  [ ! -s "$2" ] || cat "$2" 2>/dev/null
  mf_say "err $1"
  [ ! -s "$3" ] || cat "$3" 2>/dev/null
}}
mf_do() {{
  ( eval "$3" ) </dev/null >"$mf_dir/$1.out" 2>"$mf_dir/$1.err" &
  mf_pid=$!
  echo "$1 $mf_pid $2" >"$mf_dir/now"
  wait "$mf_pid" 2>/dev/null
  mf_rc=$?
  : >"$mf_dir/now"
  mf_cut=0
  [ -f "$mf_dir/$1.cut" ] && mf_cut=1
}}
mf_run() {{ mf_do "$@"; mf_answer "$1" "$mf_dir/$1.out" "$mf_dir/$1.err"; }}
mf_seen=
mf_look() {{
  mf_do "$@"
  printf '\\n%s out %s %s %s\\n' "$mf_mark" "$1" "$mf_rc" "$mf_cut" >"$mf_dir/$1.head"
  printf '\\n%s err %s\\n' "$mf_mark" "$1" >"$mf_dir/$1.mid"
  for mf_part in head out mid err; do mf_seen="$mf_seen \\"\\$mf_dir/$1.$mf_part\\""; done
}}
mf_show() {{ [ -z "$mf_seen" ] || eval "cat $mf_seen" 2>/dev/null; mf_seen=; }}
"""
# One program removes both folders; a lock that is given back is not told to be while it still lies there.
CODA = """
kill -9 "$mf_watcher" 2>/dev/null # its sleep of a second holds nothing open; looking for it would cost more
wait "$mf_watcher" 2>/dev/null
rm -rf "$mf_dir" ${mf_free:+"$mf_free"}
[ -z "$mf_free" ] || mf_say freed
exit 0
"""
"""How a script ends, wherever it does so in order."""


_PURPOSE = "# macfleet: "


@dataclass(frozen=True, slots=True)
class Fragment:
    """One piece of a script: probes never stop the script, a failed step stops later steps.

    Attributes:
        limit: seconds after which the fragment alone is killed with its children.
        guard: name of the group of steps it belongs to; empty for a probe.
        job: id of the detached job that the text starts or follows; empty for one that runs in the script.
        file: path of a file that the text asks ``mf_file`` about; empty for none.
    """

    name: str
    text: str
    limit: float
    guard: str = ""
    job: str = ""
    file: str = ""


def bundle(fragments: Sequence[Fragment], *, nonce: str, preface: str = "", closing: str = "") -> str:
    """Return one script that runs the fragments in order.

    `preface` runs after the prelude in the script's own shell; it may print and ``exit`` early.
    Guarded fragments are skipped once an earlier guarded one failed. Before each group of them the script
    asks ``mf_mine``, which the preface may define, whether the node is still its own. It begins nothing when
    it is not, which ``mf_lost`` then tells, or when nobody reads its answer any more. `closing` runs after
    ``end`` was said; it may name in ``mf_free`` a folder to remove, which the script then says is ``freed``.
    """
    lines = [
        f"{_PURPOSE}{_counted(fragments)}",
        _PRELUDE,
        f"mf_mark={quote('--' + nonce)}",
        "mf_ok=1",
        FUNCTIONS if any(_shares(fragment) for fragment in fragments) else "",
        preface,
        body(fragments),
        "mf_show",
        "mf_say end",
        closing,
    ]
    return "\n".join(lines) + CODA


def body(fragments: Sequence[Fragment], start: int = 0) -> str:
    """Return script text that runs the fragments, the first of which answers under the number `start`.

    What the last probes answered is not shown yet, which is left to ``mf_show``.
    """
    lines: list[str] = []
    group = ""
    looked = False
    for shared, run in groupby(enumerate(fragments, start), key=lambda each: _shares(each[1])):
        members = list(run)
        if shared:
            lines.append(group_call([(at, each.text, each.file) for at, each in members], _limit(members)))
            looked = True
            continue
        for index, fragment in members:
            is_probe = not fragment.guard and not fragment.job
            if looked and not is_probe:
                lines.append("mf_show")
            looked = is_probe
            if fragment.guard and fragment.guard != group:
                lines.append(f"mf_begin {index}")
            group = fragment.guard
            lines.append(_call(index, fragment))
    return "\n".join(lines)


def _limit(members: Sequence[tuple[int, Fragment]]) -> int:
    return max(1, round(sum(fragment.limit for _, fragment in members)))


def _shares(fragment: Fragment) -> bool:
    """Whether a fragment runs in one shell with its neighbours of the kind."""
    return not fragment.guard and not fragment.job and can_share(fragment.file)


def _call(index: int, fragment: Fragment) -> str:
    limit = max(1, round(fragment.limit))
    verb = "mf_run" if fragment.guard else "mf_look"
    call = f"{verb} {index} {limit} {quote(fragment.text)}"
    if fragment.job:
        call = f"mf_job {index} {quote(fragment.job)} {quote(fragment.text)}"
    # Never in an `||` list or a condition: there bash and zsh ignore a fragment's own `set -e`.
    guarded = f'if [ "$mf_ok" = 1 ]; then {call}; [ "$mf_rc" = 0 ] || mf_ok=0; fi'
    return guarded if fragment.guard else call


def purpose_of(script: str) -> str:
    """Return what a bundle is for, in words; empty for another script."""
    head = script.partition("\n")[0]
    return head.removeprefix(_PURPOSE) if head.startswith(_PURPOSE) else ""


def unbundle(fragments: Sequence[Fragment], stdout: str, *, nonce: str) -> Mapping[str, ProbeOutput]:
    """Return each fragment's output by name; fragments that did not run are missing.

    The nonce is unguessable for the node, so printed text cannot pass for a marker.
    """
    sections = [part.partition("\n")[::2] for part in stdout.split(f"\n--{nonce} ")[1:]]
    tables = tables_of(sections)
    answer = _Answer(fragments)
    for label, body in sections:
        word, *fields = label.split()
        if word == "out":
            answer.begin(int(fields[0]), int(fields[1]), body, cut=fields[2] == "1")
        elif word == "file":
            answer.asked = True
        elif word == "part":
            answer.part(int(fields[0]), int(fields[1]), tables)
            answer.out = body
        elif word == "err":
            answer.end(body)
    return answer.found


class _Answer:
    """The sections of an answer while they are put together."""

    def __init__(self, fragments: Sequence[Fragment]) -> None:
        self._fragments = fragments
        self._head: tuple[int, int, bool] | None = None
        self._parts: list[str] = []
        self.found: dict[str, ProbeOutput] = {}
        self.out = ""
        self.asked = False

    def begin(self, index: int, exit_status: int, out: str, *, cut: bool) -> None:
        """Take the head of a fragment, or of a group by its first member."""
        self._head, self._parts, self.out, self.asked = (index, exit_status, cut), [], out, False

    def part(self, index: int, exit_status: int, tables: Tables) -> None:
        """Take the end of a member of a group; what it asked about its file is in the tables."""
        fragment = self._fragments[index]
        lines = tables.of(fragment.file) if self.asked else ""
        self.asked = False
        self._parts.append(fragment.name)
        self.found[fragment.name] = (
            ProbeOutput(1, self.out, "its mode or its digest could not be read")
            if lines is None
            else ProbeOutput(exit_status, self.out + lines)
        )

    def end(self, err: str) -> None:
        """Take what was printed on stderr: of the fragment, or of the member at which its group ended."""
        if self._head is None:
            return
        first, exit_status, cut = self._head
        at = first + len(self._parts)
        if at == first or (cut and at < len(self._fragments)):
            self.found[self._fragments[at].name] = ProbeOutput(exit_status, self.out, err, cut)


def probe_fragments(probes: Mapping[str, Probe]) -> tuple[Fragment, ...]:
    """Return the probes as fragments, in the mapping's order."""
    return tuple(Fragment(name, probe.script, probe.limit, file=probe.file) for name, probe in probes.items())


def _counted(fragments: Sequence[Fragment]) -> str:
    changes = list(dict.fromkeys(fragment.guard for fragment in fragments if fragment.guard))
    probes = sum(not fragment.guard for fragment in fragments)
    return ", ".join([*changes, f"{probes} probe{'' if probes == 1 else 's'}"]).replace("\n", " ")
