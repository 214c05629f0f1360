"""How a script travels: what is typed on the remote side, and how a running one is ended."""

from __future__ import annotations

from collections.abc import Iterable

from macfleet.model.shell import quote

GRACE = 2.0
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b"\\'!")


def shell_on_stdin(nonce: str) -> str:
    """Return the exec request for a script on stdin; the process list shows the nonce, see `_announce`."""
    return f"exec /bin/sh -s {nonce}"


def on_stdin(script: str, nonce: str) -> bytes:
    """Return the bytes for the stdin of `shell_on_stdin`.

    The braces make the shell read everything before it runs anything: a script whose transfer broke is
    a syntax error, not half a script. Its children read nothing, so they cannot eat the rest of it.
    """
    return f"{{ {_announce(nonce)} {script}\n}} </dev/null\n".encode()


def as_command(script: str, nonce: str) -> str:
    """Return the exec request for a script whose stdin is a stream of bytes.

    It passes through the account's login shell. Within single quotes, fish takes two backslashes for one, and
    tcsh neither an end of line nor an exclamation mark: so the script travels in signs that mean the same to
    all of them, and the shell it is for takes it apart (``%b`` of POSIX printf).
    """
    whole = f"{_announce(nonce)} {script}".encode()
    packed = "".join(chr(byte) if byte in _PLAIN else f"\\0{byte:03o}" for byte in whole)
    return f"""exec /bin/sh -c 'eval "$(printf %b "$2")"' sh {nonce} '{packed}'"""


def ending(groups: Iterable[int]) -> str:
    """Return an exec request that ends process groups: TERM, `GRACE` seconds, then KILL.

    Exits 0 when nothing of them is left.
    """
    targets = " ".join(f"-{group}" for group in sorted(groups))
    script = (
        f"for group in {targets}; do kill -s TERM -- $group 2>/dev/null; done; "
        f"for turn in {' '.join('.' * round(GRACE / 0.1))}; do "
        f"left=; for group in {targets}; do kill -s 0 -- $group 2>/dev/null && left=1; done; "
        '[ -z "$left" ] && exit 0; sleep 0.1; done; '
        f"for group in {targets}; do kill -s KILL -- $group 2>/dev/null; done; exit 0"
    )
    return f"exec /bin/sh -c {quote(script)}"


def announcement(nonce: str, stderr: bytes) -> tuple[int, bytes] | None:
    """Return the announced process group and stderr without the announcement; None before it is there."""
    before, said, rest = stderr.partition(f"{nonce} ".encode())
    group, ended, after = rest.partition(b"\n")
    if not said or not ended or not group.isdigit():
        return None
    return int(group), before + after


def _announce(nonce: str) -> str:
    """A statement that says on both streams that the script begins, and on stderr its process group.

    It stands on the script's first line so that numbers stay.

    sshd makes the login shell a session leader, `exec` keeps its id: ``$$`` is the process group. The script
    finds in ``mf_own`` by which word the process list tells it from all others.
    """
    return f"mf_own=$1; set --; echo {nonce}; printf '%s %s\\n' {nonce} $$ >&2;"


def after_noise(nonce: str, stdout: bytes) -> bytes | None:
    """Return what the script itself wrote on stdout; None while it has not begun.

    What stands before is of the login shell's start files: ``.zshenv``, ``.bashrc``, ``config.fish``.
    """
    _, begun, after = stdout.partition(f"{nonce}\n".encode())
    return after if begun else None
