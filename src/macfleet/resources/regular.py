"""A regular file as it is found: type, mode, owner and SHA-256, shared by every kind that writes one."""

from __future__ import annotations

from dataclasses import replace

from macfleet.model.resource import Action, Change, ProbeOutput, State, compare, removal
from macfleet.model.shell import quote
from macfleet.resources import ownership


def script(path: str, *, become: bool) -> str:
    """Return probe text for a path; a symbolic link is a link, whatever it leads to."""
    text = (
        f"p={quote(path)}\n"
        'if [ -L "$p" ]; then echo other link\n'
        "elif [ -f \"$p\" ]; then printf 'file '\n"
        'if command -v mf_file >/dev/null; then mf_file "$p"\n'
        f'else stat -f {quote(ownership.FORMAT)} "$p" && shasum -a 256 < "$p"; fi\n'
        'elif [ -d "$p" ]; then echo other directory\n'
        'elif [ -e "$p" ]; then echo other special\nelse echo absent; fi'
    )
    return ownership.as_root(text, become=become)


def parse(path: str, output: ProbeOutput, wanted_owner: str) -> State | None:
    """Return what `script` found: ``type`` alone unless it is a regular file.

    Raises:
        ValueError: the answer is not of that form.
    """
    lines = output.stdout.splitlines()
    kind, _, rest = (lines[0] if lines else "").partition(" ")
    if output.exit == 0 and kind == "absent":
        return None
    if output.exit == 0 and kind == "other" and rest in {"link", "directory", "special"}:
        return {"type": rest}
    if output.exit == 0 and kind == "file" and len(lines) == 2:
        return {"type": "file", "sha256": _sha256(lines[1]), **ownership.parse(rest, wanted_owner)}
    raise ValueError(f"{path}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")


def change(address: str, path: str, desired: State, actual: State | None) -> Change:
    """Compare; a link is replaced, a directory or device is never removed."""
    found = compare(address, desired, actual)
    if actual is None or actual["type"] == "file":
        return found
    if actual["type"] == "link":
        return replace(found, action=Action.REPLACE, reason="a symbolic link stands there → a file")
    return replace(found, blocked=_foreign(path, actual))


def gone(address: str, path: str, actual: State | None) -> Change:
    """Return the removal of what stands at the path; a directory or device is never removed."""
    found = removal(address, actual)
    if actual is None or actual["type"] in {"file", "link"}:
        return found
    return replace(found, blocked=_foreign(path, actual))


def _foreign(path: str, actual: State) -> str:
    return f"{path} is a {actual['type']}, not a file; move it away"


def _sha256(line: str) -> str:
    digest = line.removeprefix("\\").split(" ", 1)[0]  # marked so where the path has a backslash
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"shasum printed {line!r}; expected a digest")
    return digest
