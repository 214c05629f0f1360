"""The lock directory on a node: between controllers that share no store, mkdir decides.

Whoever holds it is fenced: every script of the holder writes down that it runs, then looks whether the lock
is still its own, and touches nothing when it is not. A successor first shuts the door (``next``), then looks
whether such a script runs. Each writes before it reads, so at least one of the two sees the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.engine.job import FOLDER as JOBS
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Transport
from macfleet.model.shell import quote

_ABOVE = "$HOME/.macfleet"
FOLDER = f"{_ABOVE}/lock"
LAPSE = 300
"""Seconds after the last script of a holder could have ended until a stranger may take its lock."""
REFUSED = 76
"""Exit status of a script that found its run's lock in other hands."""
_PATIENCE = 25
"""Fifths of a second that the last script of a lock that may be taken gets to end."""
_LOOK = 30.0
_UNKNOWN = "unknown"
_FIELDS = ("run", "who", "since", "token", "store", "command")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds or wants a node's lock.

    Attributes:
        run: a run goes on with what a run of the same id left behind.
        token: grows with each controller that a store lets change the node; 0 without a store.
        store: identity of that store: tokens of one store alone can be compared.
    """

    run: str
    who: str
    since: str
    token: int = 0
    store: str = ""
    command: str = ""

    def text(self) -> str:
        """Return the holder as the lock's file: a line a field."""
        fields = (self.run, self.who, self.since, str(self.token), self.store, self.command)
        return "".join(f"{' '.join(field.split())}\n" for field in fields)


@dataclass(frozen=True, slots=True)
class NodeLock:
    """A lock as a node tells of it; its texts are untrusted.

    Attributes:
        left: seconds until a stranger may take it, negative when that is past.
        running: a script of the holder runs on the node at this moment.
        jobs: ids of its detached steps that go on.
    """

    holder: Holder
    left: int
    running: bool
    jobs: tuple[str, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether anybody may take it."""
        return self.left <= 0 and not self.running


def take_lock(holder: Holder, mark: str, seconds: float) -> str:
    """Return script text that takes the lock or prints its holder after `mark` and exits 0.

    What another left is taken over when it is of the same run, when the same store has since let this
    controller in (its token is larger), or when it has lapsed; never while a script of it runs, which is
    given five seconds to end. ``mf_took`` is 1 afterwards where it was of the same run. `seconds` is the
    deadline of the script that this text begins.
    """
    run, token, store = quote(holder.run), holder.token, quote(holder.store)
    return f"""{_functions(holder, mark)}
mf_took=
mf_may() {{
  [ "$(mf_line 1)" = {run} ] && [ "$(mf_token)" -le {token} ] && return 0
  [ -n {store} ] && [ "$(mf_line 5)" = {store} ] && [ "$(mf_token)" -lt {token} ] && return 0
  [ "$(mf_left)" -le 0 ]
}}
if mkdir "$mf_lock" 2>/dev/null ||
  {{ [ ! -d "{_ABOVE}" ] && mkdir -p "{_ABOVE}" && mkdir "$mf_lock" 2>/dev/null; }}
then printf '%s' {quote(holder.text())} >"$mf_lock/holder"
else
  mf_had=$(mf_state); mf_may || mf_refuse
  mf_shut || rmdir "$mf_lock/next" 2>/dev/null
  mkdir "$mf_lock/next" 2>/dev/null || mf_refuse
  mf_n=0
  while mf_busy && [ "$mf_n" -lt {_PATIENCE} ]; do mf_n=$((mf_n + 1)); sleep 0.2; done
  if mf_busy || [ "$(mf_state)" != "$mf_had" ]; then rmdir "$mf_lock/next"; mf_refuse; fi
  [ "$(mf_line 1)" != {run} ] || mf_took=1
  printf '%s' {quote(holder.text())} >"$mf_lock/holder.new"
  mv -f "$mf_lock/holder.new" "$mf_lock/holder"
  rmdir "$mf_lock/next"
fi
mf_enter {round(seconds)}"""


def enter_lock(holder: Holder, mark: str, seconds: float) -> str:
    """Return script text that goes on only where the lock is still `holder`'s.

    Otherwise it prints the new holder after `mark` and ends the script with `REFUSED`. What follows can ask
    ``mf_mine`` again between its steps, and say with ``mf_lost`` who came in between.
    """
    return f"{_functions(holder, mark, status=REFUSED)}\nmf_enter {round(seconds)}"


def free_lock(first: str) -> str:
    """Return a bundle's closing: gives the lock back when every step succeeded and all was heard.

    `first` is script text that runs before it, under the lock.
    """
    return f'if [ "$mf_ok" = 1 ] && [ "$mf_gone" = 0 ] && mf_mine; then\n{first}mf_free="$mf_lock"\nfi'


def release_lock(holder: Holder) -> str:
    """Return script text that releases the lock if this holder has it."""
    return (
        f'[ "$(head -n 4 "{FOLDER}/holder" 2>/dev/null)" = {quote(_first(holder))} ] && '
        f'rm -rf "{FOLDER}"; exit 0'
    )


def show_lock(mark: str) -> str:
    """Return script text that prints the lock after `mark`, or nothing where there is none."""
    return f'{_functions(Holder("", "", ""), mark)}\n[ ! -d "$mf_lock" ] || mf_tell'


def break_lock(mark: str) -> str:
    """Return script text that prints the lock, ends what runs under it, and removes it."""
    # A shell whose child is killed would go on with its next command: it is stopped first.
    return f"""{show_lock(mark)}
mf_end() {{
  kill -STOP "$1" 2>/dev/null; set -- "$1" $(pgrep -P "$1"); kill -9 "$1" 2>/dev/null; shift
  for mf_c in "$@"; do mf_end "$mf_c"; done
}}
for mf_f in $(mf_runners); do mf_alive "$mf_lock/$mf_f" && mf_end "$mf_p"; done
for mf_j in $(mf_jobs); do read -r mf_p mf_rest <"{JOBS}/$mf_j/status" && mf_end "$mf_p"; done
rm -rf "$mf_lock"; exit 0"""


def see_lock(transport: Transport, mark: str) -> NodeLock | None:
    """Return the lock that lies on a node; raises what the transport raises."""
    return _told(transport, show_lock(mark), mark)


def remove_lock(transport: Transport, mark: str) -> NodeLock | None:
    """Break the lock that lies on a node and return it; raises what the transport raises."""
    return _told(transport, break_lock(mark), mark)


def _told(transport: Transport, script: str, mark: str) -> NodeLock | None:
    done = transport.run(script, deadline=_LOOK)
    return read_lock(done.stdout.decode("utf-8", "replace"), mark)


def read_lock(stdout: str, mark: str) -> NodeLock | None:
    """Return the lock that a script printed after `mark`; None where it printed none."""
    _, found, rest = stdout.partition(f"\n{mark} locked\n")
    if not found:
        return None
    lines = rest.splitlines()
    told = [line.removeprefix("= ") for line in lines if line.startswith("= ")]
    run, who, since, token, store, command = (*told, *[""] * len(_FIELDS))[: len(_FIELDS)]
    last = dict(line.split(" ", 1) for line in lines if line.startswith(("left ", "busy ")))
    return NodeLock(
        Holder(
            run or _UNKNOWN, who or "somebody", since or "an unknown time", _number(token), store, command
        ),
        _number(last.get("left", "")),
        last.get("busy") == "1",
        tuple(line.removeprefix("job ") for line in lines if line.startswith("job ")),
    )


def refuse_if_locked(node: str, stdout: str, mark: str) -> None:
    """Raise MacfleetError E0510 (exit 6) when the script's answer says another run holds the lock."""
    found = read_lock(stdout, mark)
    if found is not None:
        raise MacfleetError(locked(node, found))


def refuse_if_taken(node: str, stdout: str, mark: str) -> None:
    """Raise MacfleetError E0592 (exit 6) when a script found the lock it was to run under in other hands."""
    found = read_lock(stdout, mark)
    if found is None:
        return
    other = found.holder
    summary, why = f"run {other.run} has taken the node over", f"{other.who} holds it since {other.since}"
    if other.run == _UNKNOWN:
        summary, why = "somebody removed the lock", "Without it two runs could change the node at once"
    raise MacfleetError(
        Diagnostic(
            "E0592",
            summary,
            why=f"{why}; nothing more of this run was done there.",
            mend=f"See who works there: macfleet lock status -l {node}\nGo on later with --resume.",
            node=node,
            exit_code=ExitCode.LOCKED,
        )
    )


def locked(node: str, found: NodeLock) -> Diagnostic:
    """Return the diagnostic of a node that another run holds (exit 6)."""
    running = " A script of it runs on the node at this moment." if found.running else ""
    if found.jobs:
        running = f" Detached steps of it go on: {', '.join(found.jobs)}."
    return Diagnostic(
        "E0510",
        f"the node is locked by run {found.holder.run}",
        why=f"{found.holder.who} holds it since {found.holder.since}.{running}",
        mend=f"Wait for it with --wait 10m, or if it is dead: macfleet lock break {node} --reason WHY",
        node=node,
        exit_code=ExitCode.LOCKED,
    )


def _functions(holder: Holder, mark: str, status: int = 0) -> str:
    # A process is told from a later one of the same id by the word among its arguments that the transport
    # gave it (``mf_own``), which costs the holder no program, or else by when it began. ``mf_watcher`` and
    # ``mf_dir`` are there where a bundle's prelude ran before.
    return f"""mf_lock="{FOLDER}"
mf_state() {{ cat "$mf_lock/holder" "$mf_lock/until" 2>/dev/null; }}
mf_line() {{ sed -n "$1p" "$mf_lock/holder" 2>/dev/null; }}
mf_token() {{ mf_t=$(mf_line 4); case $mf_t in ''|*[!0-9]*) echo 0;; *) echo "$mf_t";; esac; }}
mf_left() {{
  if read -r mf_u 2>/dev/null <"$mf_lock/until"; then echo $((mf_u - $(date +%s)))
  elif [ -n "$(find "$mf_lock" -prune -mmin +{LAPSE // 60} 2>/dev/null)" ]; then echo 0
  else echo {LAPSE}; fi
}}
mf_born() {{ echo $(LC_ALL=C ps -o lstart= -p "$1" 2>/dev/null); }}
mf_self() {{ if [ -n "$mf_own" ]; then echo "$$ =$mf_own"; else echo "$$ $(mf_born "$$")"; fi; }}
mf_alive() {{
  read -r mf_p mf_s 2>/dev/null <"$1" && [ -n "$mf_s" ] || return 1
  case $mf_s in "="?*) ;; *) [ "$(mf_born "$mf_p")" = "$mf_s" ]; return;; esac
  case " $(ps -ww -o args= -p "$mf_p" 2>/dev/null) " in *" ${{mf_s#=}} "*) ;; *) return 1;; esac
}}
mf_runners() {{ ls "$mf_lock" 2>/dev/null | grep '^runner[.]'; }}
mf_busy() {{ for mf_f in $(mf_runners); do mf_alive "$mf_lock/$mf_f" && return 0; done; return 1; }}
mf_jobs() {{
  mf_r=$(mf_line 1)
  for mf_j in $(ls "{JOBS}" 2>/dev/null); do
    case $mf_j in "${{mf_r:-/}}"-*) ;; *) continue;; esac
    [ ! -f "{JOBS}/$mf_j/exit" ] && read -r mf_p mf_rest 2>/dev/null <"{JOBS}/$mf_j/status" &&
      kill -0 "$mf_p" 2>/dev/null &&
      [ -n "$(find "{JOBS}/$mf_j" "{JOBS}/$mf_j/beat" -prune -mmin -1 2>/dev/null)" ] && echo "$mf_j"
  done
}}
mf_shut() {{ [ -d "$mf_lock/next" ] && [ -n "$(find "$mf_lock/next" -prune ! -mmin +1 2>/dev/null)" ]; }}
mf_tell() {{
  printf '\\n%s locked\\n' {quote(mark)}; sed 's/^/= /' "$mf_lock/holder" 2>/dev/null
  echo "left $(mf_left)"; mf_busy && echo 'busy 1'; mf_jobs | sed 's/^/job /'
}}
mf_lost() {{ mf_tell; }}
mf_refuse() {{
  mf_tell
  if [ -n "$mf_watcher" ]; then mf_kill "$mf_watcher"; [ -z "$mf_dir" ] || rm -rf "$mf_dir"; fi
  exit {status}
}}
mf_head() {{
  mf_h=
  for mf_c in 1 2 3 4; do
    IFS= read -r mf_hl || [ -n "$mf_hl" ] || break
    mf_h="$mf_h$mf_hl
"
  done
}}
mf_mine() {{
  mf_h=; {{ mf_head; }} 2>/dev/null <"$mf_lock/holder"
  ! mf_shut && [ "${{mf_h%?}}" = {quote(_first(holder))} ]
}}
mf_enter() {{
  {{ mf_self; }} 2>/dev/null >"$mf_lock/runner.{holder.token}" || mf_refuse
  mf_mine || mf_refuse
  echo $(($(date +%s) + $1 + {LAPSE})) >"$mf_lock/until"
}}"""


def _first(holder: Holder) -> str:
    """Return the lines by which a holder knows its own lock again."""
    return "\n".join(holder.text().splitlines()[:4])


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else 0
