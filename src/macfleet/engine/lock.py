"""The lock directory on a node: between controllers that share no store, mkdir decides."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote

_FOLDER = "$HOME/.macfleet/lock"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds or wants a node's lock; `run` alone decides identity, the rest is for people."""

    run: str
    who: str
    since: str

    def text(self) -> str:
        """Return the holder as the lock's three-line file."""
        return f"{self.run}\n{self.who}\n{self.since}\n"


def take_lock(holder: Holder, mark: str) -> str:
    """Return script text that takes the lock or prints its holder after `mark` and exits 0.

    A lock of the same run is taken over: that is a resumed run.
    """
    return f"""mkdir -p "$HOME/.macfleet"
if mkdir "{_FOLDER}" 2>/dev/null; then
  printf '%s' {quote(holder.text())} >"{_FOLDER}/holder"
elif [ "$(head -n 1 "{_FOLDER}/holder" 2>/dev/null)" != {quote(holder.run)} ]; then
  printf '\\n%s locked\\n' {quote(mark)}; cat "{_FOLDER}/holder" 2>/dev/null
  mf_kill "$mf_watcher"; rm -rf "$mf_dir"; exit 0
fi"""


def release_lock(holder: Holder) -> str:
    """Return script text that releases the lock if this run holds it."""
    return (
        f'[ "$(head -n 1 "{_FOLDER}/holder" 2>/dev/null)" = {quote(holder.run)} ] && '
        f'rm -rf "{_FOLDER}"; exit 0'
    )


def refuse_if_locked(node: str, stdout: str, mark: str) -> None:
    """Raise MacfleetError E0510 (exit 6) when the script's answer says another run holds the lock."""
    _, found, rest = stdout.partition(f"\n{mark} locked\n")
    if not found:
        return
    run, who, since, *_ = [*rest.splitlines(), "unknown run", "unknown holder", "an unknown time"]
    raise MacfleetError(
        Diagnostic(
            "E0510",
            f"the node is locked by run {run}",
            why=f"{who} holds it since {since}.",
            mend=f"Wait for it, or if it is dead: macfleet lock break {node}",
            node=node,
            exit_code=ExitCode.LOCKED,
        )
    )
