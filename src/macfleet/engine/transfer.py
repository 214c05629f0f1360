"""A big file onto a node over the kept connection: resumed where it broke off, proven, then put in place.

What arrives is kept beside the target in a part file that is named after the content, so a transfer that
broke off is taken up by whoever sends the same bytes next, and never mixed with others. What counts is the
SHA-256 of the part file as it is read back, not of what was sent; only then it takes the target's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from macfleet.engine.script import HOMEBREW_PATH
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Completed, Transport
from macfleet.model.secret import Secret
from macfleet.model.shell import quote, words

_ASK_LIMIT = 60.0
_HASH_RATE = 50 * 2**20
"""Bytes a second that reading a file back is granted: ten times less than the slowest Mac does."""
_MOVED = 75
_DAMAGED = 76
_NOT_GIVEN = 77


@dataclass(frozen=True, slots=True)
class Parcel:
    """The bytes of a file, which can be had from any offset.

    Attributes:
        size: bytes in all.
        sha256: of all bytes, in lower-case hexadecimal.
        open: yields the bytes from an offset to the end, the same ones each time.
    """

    size: int
    sha256: str
    open: Callable[[int], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that another node serves.

    Attributes:
        node: who serves it.
        url: where, over HTTP; ranges are understood.
        token: what the server wants as a bearer token.
    """

    node: str
    url: str
    token: Secret


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a delivery took.

    Attributes:
        sent: bytes that travelled now.
        found: bytes that were on the node before.
    """

    sent: int
    found: int


def deliver(
    transport: Transport,
    parcel: Parcel,
    path: str,
    *,
    node: str,
    deadline: float,
    mode: str = "0644",
    report: Callable[[int], None] = lambda _: None,
) -> Delivered:
    """Put a file in place in two execs; in one when it is there already.

    Args:
        transport: the node's; a broken connection leaves the part file for the next call.
        parcel: the content.
        path: absolute path on the node; its folder must be there.
        node: name for messages.
        deadline: seconds the bytes may take.
        mode: of the file, in octal.
        report: takes the number of bytes on the node after each piece handed over.

    Raises:
        MacfleetError: E0417 the node cannot keep the file, E0418 what arrived is not what was sent; then
            the part file is gone and the next call begins anew.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    found = _found(transport, parcel, path, node)
    if found is None:
        return Delivered(0, parcel.size)
    counted = _Counted(parcel, found, report)
    done = transport.run(
        _keep(parcel, path, found, mode), stdin=counted, deadline=deadline + _hash_time(parcel)
    )
    if done.exit == _DAMAGED:
        raise MacfleetError(_damaged(node, path, done))
    if done.exit != 0:
        raise MacfleetError(_not_kept(node, path, done))
    return Delivered(counted.sent, found)


def collect(
    transport: Transport,
    parcel: Parcel,
    offer: Offer,
    path: str,
    *,
    node: str,
    deadline: float,
    mode: str = "0644",
) -> None:
    """Let the node fetch a file from another one into place, in one exec; arguments are those of `deliver`.

    What came before it broke off is kept for `deliver`, which brings the rest.

    Raises:
        MacfleetError: E0642 it could not be fetched, E0418 what arrived is not what is wanted.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    limit = deadline + _hash_time(parcel)
    done = transport.run(_fetch(parcel, offer, path, mode, deadline), deadline=limit + _ASK_LIMIT)
    if done.exit == _DAMAGED:
        raise MacfleetError(_damaged(node, path, done))
    if done.exit != 0:
        raise MacfleetError(_not_fetched(node, offer, done))


class _Counted:
    """The rest of a parcel as stdin; knows how much was handed over."""

    def __init__(self, parcel: Parcel, offset: int, report: Callable[[int], None]) -> None:
        self._parcel = parcel
        self._offset = offset
        self._report = report
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._parcel.open(self._offset):
            yield piece
            # Counted when the next one is asked for: by then the transport took this one.
            self.sent += len(piece)
            self._report(self._offset + self.sent)


def _found(transport: Transport, parcel: Parcel, path: str, node: str) -> int | None:
    """Return how many bytes of the parcel the node has; None when the file is in place."""
    done = transport.run(_ask(parcel, path), deadline=_ASK_LIMIT + 2 * _hash_time(parcel))
    word, _, size = done.stdout.decode("ascii", "replace").strip().rpartition("\n")[2].partition(" ")
    if done.exit == 0 and word == "whole":
        return None
    if done.exit == 0 and word == "part" and size.isdigit():
        return int(size)
    raise MacfleetError(_not_kept(node, path, done))


def _ask(parcel: Parcel, path: str) -> str:
    return f"""{_settled(parcel, path)} && echo "part $(size "$part")"
"""


def _settled(parcel: Parcel, path: str) -> str:
    """End a writer that is left over from a broken connection; say ``whole`` and end if all is there.

    The writer leads its own process group; it is the one in the file only if its command names the part.
    """
    return f"""{_names(parcel, path)}
if [ -f "$goal" ] && [ "$(size "$goal")" = {parcel.size} ] && [ "$(sum "$goal")" = {parcel.sha256} ]; then
  rm -f "$part" "$writer"; echo whole; exit 0
fi
if read -r old 2>/dev/null <"$writer"; then
  case "$(ps -ww -o command= -p "$old" 2>/dev/null)" in
    *"$mark"*) kill -s KILL -- "-$old" 2>/dev/null || kill -s KILL "$old" 2>/dev/null ;;
  esac
  for turn in 1 2 3 4 5 6 7 8 9 10; do kill -s 0 "$old" 2>/dev/null || break; sleep 0.1; done
  rm -f "$writer"
fi
[ "$(size "$part")" -le {parcel.size} ] || rm -f "$part"
umask 077
: >>"$part" """


def _keep(parcel: Parcel, path: str, offset: int, mode: str) -> str:
    return f"""{_names(parcel, path)}
umask 077
echo $$ >"$writer" || exit 1
here=$(size "$part")
if [ "$here" != {offset} ]; then
  echo "the part has $here bytes, not {offset}: another transfer writes it" >&2; exit {_MOVED}
fi
cat >>"$part" || exit 1
{_proven(parcel, mode)}
"""


def _fetch(parcel: Parcel, offer: Offer, path: str, mode: str, seconds: float) -> str:
    """Let the node get the bytes itself; the token goes through the program's stdin.

    Its command names the part file, so that the next transfer finds it where the connection broke.
    A server that was started a moment ago may not be forwarded to its network yet: refused ones are retried.
    """
    told = words(
        [
            f'url = "{offer.url}"',
            f'header = "Authorization: Bearer {offer.token.reveal()}"',
            f"max-time = {seconds:.0f}",
        ]
    )
    return f"""{_settled(parcel, path)} || exit 1
if [ "$(size "$part")" -lt {parcel.size} ]; then
  printf '%s\\n' {told} | sh -c 'echo $$ >"$0" && exec curl "$@"' "$writer" -q --config - \\
    --continue-at - --output "$part" --silent --show-error --fail --noproxy '*' --connect-timeout 5 \\
    --speed-limit 16384 --speed-time 30 --retry 12 --retry-delay 1 --retry-max-time 20 --retry-connrefused \\
    >/dev/null ||
    {{ rm -f "$writer"; exit {_NOT_GIVEN}; }}
fi
{_proven(parcel, mode)}
"""


def _proven(parcel: Parcel, mode: str) -> str:
    """Read the part file back and put it in place."""
    return f"""here=$(size "$part")
[ "$here" = {parcel.size} ] || {{ echo "$here of {parcel.size} bytes came" >&2; exit 1; }}
came=$(sum "$part")
[ "$came" = {parcel.sha256} ] || {{ rm -f "$part" "$writer"; echo "$came" >&2; exit {_DAMAGED}; }}
chmod {quote(mode)} "$part" && mv -f "$part" "$goal" && rm -f "$writer" """


def _names(parcel: Parcel, path: str) -> str:
    """Return shell text that names the files and knows how to measure them."""
    folder, _, name = path.rpartition("/")
    mark = f".{name}.{parcel.sha256[:16]}.part"
    return f"""PATH={HOMEBREW_PATH}; export PATH; LC_ALL=C; export LC_ALL
goal={quote(path)}; mark={quote(mark)}; part={quote(f"{folder}/{mark}")}; writer="$part.pid"
size() {{ if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi; }}
sum() {{
  if command -v openssl >/dev/null; then openssl dgst -sha256 -r <"$1"
  elif command -v shasum >/dev/null; then shasum -a 256 <"$1"
  else sha256sum <"$1"; fi | cut -d ' ' -f 1
}}"""


def _hash_time(parcel: Parcel) -> float:
    return 30.0 + parcel.size / _HASH_RATE


def _not_kept(node: str, path: str, done: Completed) -> Diagnostic:
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-400:]
    return Diagnostic(
        "E0417",
        f"{path} could not be written",
        why=f"exit status {done.exit}: {said or 'the node said nothing'}",
        mend="Check the folder, its owner and the free space; what arrived is kept.",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )


def _not_fetched(node: str, offer: Offer, done: Completed) -> Diagnostic:
    said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][-400:]
    return Diagnostic(
        "E0642",
        f"{offer.url.rpartition('/')[2]} could not be fetched from {offer.node}",
        why=f"exit status {done.exit}: {said or 'the node said nothing'}",
        mend=f"Both must reach each other: look at site_address of {offer.node} and at firewalls.",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )


def _damaged(node: str, path: str, done: Completed) -> Diagnostic:
    return Diagnostic(
        "E0418",
        f"what arrived for {path} is not what was sent",
        why=f"SHA-256: {done.stderr.decode('ascii', 'replace').strip()[-64:]}. The file stays as it was.",
        mend="Send it again: it starts anew. If it happens twice, look at the node's disk and at the source.",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )
