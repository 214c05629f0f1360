"""Steps that outlive the connection: started once, followed from any connection, collected once.

A job lies in ``~/.macfleet/jobs/ID`` on the node: ``status`` (its process and address), ``out`` and ``err``,
``beat`` (counts seconds while it lives) and, once it ended, ``exit``. Making the folder decides who starts
it, so a run that comes back after a lost connection, or is resumed after its controller was killed, finds
the folder and follows what is there. The folder goes when its result was collected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from macfleet.engine.script import ENVIRONMENT, WATCHING
from macfleet.engine.steps import step_text
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.resource import Put, Run
from macfleet.model.shell import quote

LONG = 30.0
"""Seconds over which a step is not left to one connection."""
FOLDER = "$HOME/.macfleet/jobs"
SHELL = "/bin/sh -s"
SILENT = 300
"""Tenths of a second without a beat after which a job counts as gone: a node that sleeps stops both."""

# A process group of its own keeps a job from the end of the connection's group; macOS has no setsid(1).
FOLLOWING = f"""mkdir -p "{FOLDER}"
mf_apart() {{
  if command -v setsid >/dev/null 2>&1; then exec setsid {SHELL}
  elif [ -x /usr/bin/perl ]; then exec /usr/bin/perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV' {SHELL}
  else exec nohup {SHELL}; fi
}}
mf_lives() {{
  [ -f "$mf_j/exit" ] && return 1
  read -r mf_p mf_rest 2>/dev/null <"$mf_j/status" && ! kill -0 "$mf_p" 2>/dev/null && return 1
  mf_now=; read -r mf_now 2>/dev/null <"$mf_j/beat"
  if [ "$mf_now" = "$mf_beat" ]; then mf_still=$((mf_still + mf_nap)); else mf_still=0; mf_beat=$mf_now; fi
  [ "$mf_still" -lt {SILENT} ]
}}
mf_tail() {{
  for mf_f in out err; do
    mf_size=$(($(wc -c <"$mf_j/$mf_f" 2>/dev/null || echo 0)))
    eval "mf_seen=\\$mf_seen_$mf_f"
    if [ "$mf_size" -gt "$mf_seen" ]; then
      mf_say "tail $1"
      tail -c +"$((mf_seen + 1))" "$mf_j/$mf_f" | tail -c 2000
      eval "mf_seen_$mf_f=$mf_size"
    fi
  done
  mf_say "tick $1"
}}
mf_job() {{
  mf_j="{FOLDER}/$2"; mf_seen_out=0; mf_seen_err=0
  mf_beat=; mf_still=0; mf_nap=1; mf_age=0; mf_rc=75; mf_cut=0
  if mkdir -m 700 "$mf_j" 2>/dev/null; then
    : >"$mf_j/out"; : >"$mf_j/err"
    ( printf '%s\\n' "$3" | ( mf_apart ) >/dev/null 2>&1 & ) # no child of this shell, whose watcher ends them
  else mf_say "found $1"; fi
  while mf_lives; do
    sleep "0.$mf_nap"
    mf_age=$((mf_age + mf_nap)); [ "$mf_age" -lt 10 ] || mf_nap=5
    if [ $((mf_age % 10)) = 0 ]; then
      mf_tail "$1"
      [ "$mf_gone" = 0 ] || return
      mf_mine || {{ mf_lost; return; }}
    fi
  done
  [ -f "$mf_j/exit" ] || sleep 0.2
  if read -r mf_rc mf_cut 2>/dev/null <"$mf_j/exit"; then mf_answer "$1" "$mf_j/out" "$mf_j/err"
  else mf_rc=75; mf_say "vanished $1"; cat "$mf_j/err" 2>/dev/null; fi
}}
"""


def job_id(run: str, node: str, address: str, part: int | str) -> str:
    """Return the id of a run's job: the same for a run and whoever goes on with it.

    A failed job is collected before it can be tried again, so that the second attempt finds no folder.
    """
    digest = hashlib.sha256("\n".join((run, node, address, str(part))).encode()).hexdigest()
    return f"{run}-{digest[:12]}"


def job_text(job: str, address: str, steps: Sequence[Run | Put]) -> str:
    """Return what the detached shell reads: steps in order until one fails, each within its limit.

    The text comes through a pipe, so that secrets in it stay out of argv and files. The braces make the shell
    read all of it before it begins.
    """
    lines = [
        f'{ENVIRONMENT}mf_dir="{FOLDER}"/{quote(job)}; cd / || exit 70; trap "" HUP',
        WATCHING,
        f'echo "$$ "{quote(address)} >"$mf_dir/status"; mf_rc=0; mf_cut=0',
        "mf_watch </dev/null >/dev/null 2>&1 &\nmf_watcher=$!",
        _STEP,
    ]
    for number, step in enumerate(steps):
        limit = max(1, round(limit_of(step)))
        lines.append(f'if [ "$mf_rc" = 0 ]; then mf_step {number} {limit} {quote(step_text(step))}; fi')
    lines.append('echo "$mf_rc $mf_cut" >"$mf_dir/exit.new"; mv -f "$mf_dir/exit.new" "$mf_dir/exit"')
    lines.append('mf_kill "$mf_watcher"')
    body = "\n".join(lines)
    return f"{{ {body}\n}} </dev/null"


def swept(run: str, vanished: Sequence[str]) -> str:
    """Return script text that removes the folders of a run's jobs that ended, and those of vanished ones."""
    ended = f'for mf_j in "{FOLDER}"/{quote(run + "-")}*; do [ ! -f "$mf_j/exit" ] || rm -rf "$mf_j"; done'
    return "\n".join([ended, *(f'rm -rf "{FOLDER}"/{quote(job)}' for job in vanished), ""])


def refuse_others(run: str) -> str:
    """Return script text that says ``busy JOB`` and ends the script while a job of another run lives.

    The lock is free by then, so its run is dead or was pushed aside; what it started goes on changing the
    node. One that has just begun has no beat yet, only a young folder. Folders of
    other runs in which nothing happened for a week are removed.
    """
    return f"""if [ -d "{FOLDER}" ]; then
  find "{FOLDER}" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {{}} + 2>/dev/null
  for mf_j in "{FOLDER}"/*/; do
    mf_j=${{mf_j%/}}
    case ${{mf_j##*/}} in {quote(run + "-")}*) continue ;; esac
    [ ! -f "$mf_j/exit" ] && [ -n "$(find "$mf_j" "$mf_j/beat" -prune -mmin -1 2>/dev/null)" ] || continue
    mf_p=; mf_rest=; read -r mf_p mf_rest 2>/dev/null <"$mf_j/status"
    [ -z "$mf_p" ] || kill -0 "$mf_p" 2>/dev/null || continue
    mf_say "busy ${{mf_j##*/}} $mf_rest"
    mf_unwatched; [ -z "$mf_dir" ] || rm -rf "$mf_dir"; exit 0
  done
fi"""


def refuse_if_busy(node: str, stdout: str, mark: str) -> None:
    """Raise MacfleetError E0573 (exit 6) when the script found a living job of another run."""
    _, found, rest = stdout.partition(f"\n{mark} busy ")
    if not found:
        return
    job, _, address = rest.partition("\n")[0].partition(" ")
    raise MacfleetError(
        Diagnostic(
            "E0573",
            f"{address or 'a step'} of an earlier run still goes on",
            why=f"Nobody holds the node's lock, but job {job} is at work and would get in the way.",
            mend=f"Wait for it, or go on with its run: --resume {job.rpartition('-')[0]}",
            node=node,
            address=address,
            exit_code=ExitCode.LOCKED,
        )
    )


def vanished(node: str, address: str, job: str, said: str) -> Diagnostic:
    """Return the diagnostic of a job that ended without a result (E0570, exit 4)."""
    last = f" It last said: {said.strip()[-300:]}" if said.strip() else ""
    return Diagnostic(
        "E0570",
        f"the detached step of {address} vanished",
        why=f"Job {job} left no exit status: the node was restarted, or somebody ended it.{last}",
        mend="See how far it came; --resume looks at the node again and does what is left.",
        node=node,
        address=address,
        exit_code=ExitCode.NODE_FAILED,
    )


def limit_of(step: Run | Put) -> float:
    """Return the seconds a step may take."""
    return step.limit if isinstance(step, Run) else LONG


_STEP = """mf_step() {
  ( eval "$3" ) </dev/null >>"$mf_dir/out" 2>>"$mf_dir/err" &
  mf_pid=$!
  echo "$1 $mf_pid $2" >"$mf_dir/now"
  wait "$mf_pid"
  mf_rc=$?
  : >"$mf_dir/now"
  [ ! -f "$mf_dir/$1.cut" ] || mf_cut=1
}"""
