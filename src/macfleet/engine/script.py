"""Many probes and steps as one POSIX script; `answer` takes apart what it prints.

Everything runs under ``/bin/sh`` with the tools of a stock macOS: no timeout(1), no flock(1), no GNU flags.
Each fragment runs in a subshell of its own with stdin closed and its output in a file, so a fragment
that exits, reads stdin, leaves children behind or prints a marker cannot disturb its neighbours. Plain probes
do none of that; they share one subshell, whose output the shell itself catches, and come before all others.
A script of plain probes alone needs no folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from macfleet.engine.files import FUNCTIONS, can_share, group_call
from macfleet.model.resource import Probe
from macfleet.model.shell import quote

HOMEBREW_PATH = "/opt/homebrew/bin:/opt/homebrew/sbin:/usr/bin:/bin:/usr/sbin:/sbin"

ENVIRONMENT = f"""PATH={HOMEBREW_PATH}; export PATH
LC_ALL=C; export LC_ALL
umask 022
"""
# Killing a tree needs pgrep because a shell without a terminal has no job control to group processes. It is
# stopped from its root on: a shell whose child is killed would go on with its next command.
WATCHING = """mf_kill() {
  [ -n "$1" ] || return 0 # no number is every process to some pgrep(1)
  kill -STOP "$1" 2>/dev/null
  for mf_c in $(pgrep -P "$1"); do mf_kill "$mf_c"; done
  kill -9 "$1" 2>/dev/null
}
mf_kill_group() {
  mf_me=$(exec sh -c 'echo "$PPID"')
  for mf_g in $(pgrep -P "$$"); do [ "$mf_g" = "$mf_me" ] || mf_kill "$mf_g"; done
}
mf_watch() {
  mf_last=; mf_n=0; mf_b=0
  while kill -0 "$$" 2>/dev/null; do
    sleep 1
    mf_i=group; mf_p=-; mf_l=$1
    if [ -n "$mf_dir" ]; then
      mf_b=$((mf_b + 1)); echo "$mf_b" 2>/dev/null >"$mf_dir/beat"
      mf_i=; read -r mf_i mf_p mf_l 2>/dev/null <"$mf_dir/now" || continue
    fi
    if [ "$mf_i" = "$mf_last" ]; then mf_n=$((mf_n + 1)); else mf_n=0; mf_last=$mf_i; fi
    [ "$mf_n" -ge "$mf_l" ] || continue
    if [ "$mf_p" != - ]; then echo cut >"$mf_dir/$mf_i.cut"; mf_kill "$mf_p"; continue; fi
    kill -USR1 "$$"; mf_kill_group
    [ -n "$mf_dir" ] || exit
  done
}
"""
# Steps answer one by one, so that what was done is known; probes answer together, plain ones from a variable
# and the others through one `cat`. The shell that waits for plain ones does not know its child, which the
# watcher therefore finds among the shell's children; it says so first.
# A controller that is gone is noticed by writing to it: a group of steps that began is finished all the same,
# and none begins after it. Subshells have the signals' own effect again.
_PRELUDE = f"""{ENVIRONMENT}mf_dir=; mf_watcher=; mf_told=; mf_seen=; mf_free=; mf_gone=0
trap 'mf_gone=1' PIPE; trap 'mf_cut=1' USR1
{WATCHING}mf_watched() {{ mf_watch "$1" </dev/null >/dev/null 2>&1 & mf_watcher=$!; }}
mf_unwatched() {{
  [ -n "$mf_watcher" ] || return 0
  kill -9 "$mf_watcher" 2>/dev/null # its sleep of a second holds nothing open; looking for it would cost more
  wait "$mf_watcher" 2>/dev/null
  mf_watcher=
}}
mf_room() {{
  [ -z "$mf_dir" ] || return 0
  mf_dir=$(mktemp -d "${{TMPDIR:-/tmp}}/macfleet.XXXXXX") || exit 70
  mf_watched 0
}}
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
  mf_room
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
mf_look() {{
  mf_do "$@"
  printf '\\n%s out %s %s %s\\n' "$mf_mark" "$1" "$mf_rc" "$mf_cut" >"$mf_dir/$1.head"
  printf '\\n%s err %s\\n' "$mf_mark" "$1" >"$mf_dir/$1.mid"
  for mf_part in head out mid err; do mf_seen="$mf_seen \\"\\$mf_dir/$1.$mf_part\\""; done
}}
mf_note() {{
  mf_told="$mf_told
$mf_mark out $1 $2 $3
$4
$mf_mark err $1
"
}}
mf_group() {{
  mf_cut=0
  if [ -n "$mf_dir" ]; then echo "$1 - $2" >"$mf_dir/now"; else mf_watched "$2"; fi
  mf_out=$(eval "$3" </dev/null)
  mf_rc=$?
  if [ -n "$mf_dir" ]; then : >"$mf_dir/now"; else mf_unwatched; fi
  mf_note "$1" "$mf_rc" "$mf_cut" "$mf_out
"
}}
mf_show() {{
  [ -z "$mf_told" ] || printf '%s' "$mf_told" 2>/dev/null || mf_gone=1
  [ -z "$mf_seen" ] || eval "cat $mf_seen" 2>/dev/null
  mf_told=; mf_seen=
}}
mf_end() {{
  if [ -z "$mf_seen" ]; then mf_told="$mf_told
$mf_mark end
"; mf_show; else mf_show; mf_say end; fi
}}
"""
# One program removes both folders; a lock that is given back is not told to be while it still lies there.
CODA = """
mf_unwatched
[ -z "$mf_dir$mf_free" ] || rm -rf ${mf_dir:+"$mf_dir"} ${mf_free:+"$mf_free"}
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
        plain: whether the text leaves the shell that it runs in as it was (see `Probe.plain`).
        given: test without which the text does not run (see `Probe.given`).
    """

    name: str
    text: str
    limit: float
    guard: str = ""
    job: str = ""
    file: str = ""
    plain: bool = False
    given: str = ""

    @property
    def shares(self) -> bool:
        """Whether it runs in one shell with its neighbours of the kind."""
        return not self.guard and not self.job and (self.plain or can_share(self.file))


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
        FUNCTIONS if any(fragment.shares for fragment in fragments) else "",
        "" if all(fragment.shares or fragment.given for fragment in fragments) else "mf_room",
        preface,
        body(fragments),
        "mf_end",
        closing,
    ]
    return "\n".join(lines) + CODA


def body(fragments: Sequence[Fragment], start: int = 0) -> str:
    """Return script text that runs the fragments, the first of which answers under the number `start`.

    What the last probes answered is not shown yet, which is left to ``mf_show`` or ``mf_end``.
    """
    lines: list[str] = []
    group = ""
    looked = False
    for shared, run in groupby(enumerate(fragments, start), key=lambda each: each[1].shares):
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


def _call(index: int, fragment: Fragment) -> str:
    limit = max(1, round(fragment.limit))
    verb = "mf_run" if fragment.guard else "mf_look"
    call = f"{verb} {index} {limit} {quote(fragment.text)}"
    if fragment.job:
        call = f"mf_job {index} {quote(fragment.job)} {quote(fragment.text)}"
    if fragment.given:
        call = f"if {fragment.given}; then {call}; else mf_note {index} 0 0 ''; fi"
    # Never in an `||` list or a condition: there bash and zsh ignore a fragment's own `set -e`.
    guarded = f'if [ "$mf_ok" = 1 ]; then {call}; [ "$mf_rc" = 0 ] || mf_ok=0; fi'
    return guarded if fragment.guard else call


def purpose_of(script: str) -> str:
    """Return what a bundle is for, in words; empty for another script."""
    head = script.partition("\n")[0]
    return head.removeprefix(_PURPOSE) if head.startswith(_PURPOSE) else ""


def probe_fragments(probes: Mapping[str, Probe]) -> tuple[Fragment, ...]:
    """Return the probes as fragments, those that share a shell first, otherwise in the mapping's order."""
    found = (
        Fragment(name, probe.script, probe.limit, file=probe.file, plain=probe.plain, given=probe.given)
        for name, probe in probes.items()
    )
    return tuple(sorted(found, key=lambda fragment: not fragment.shares))


def _counted(fragments: Sequence[Fragment]) -> str:
    changes = list(dict.fromkeys(fragment.guard for fragment in fragments if fragment.guard))
    probes = sum(not fragment.guard for fragment in fragments)
    return ", ".join([*changes, f"{probes} probe{'' if probes == 1 else 's'}"]).replace("\n", " ")
