"""Mode and owner as BSD ``stat`` prints them: ``0644 ops:staff``."""

from __future__ import annotations

import re

from macfleet.model.shell import quote

FORMAT = "%Mp%Lp %Su:%Sg"
_LINE = re.compile(r"^([0-7]{4}) (\S+):(\S+)$")


def parse(line: str, wanted_owner: str) -> dict[str, str]:
    """Return ``mode`` and ``owner`` of one `FORMAT` line; the group is dropped when it is not wanted.

    Raises:
        ValueError: the line does not have that form.
    """
    matched = _LINE.match(line.strip())
    if matched is None:
        raise ValueError(f"stat printed {line!r}; expected a mode and an owner")
    mode, user, group = matched.groups()
    return {"mode": mode, "owner": f"{user}:{group}" if ":" in wanted_owner else user}


def mend(path: str, fields: set[str], mode: str, owner: str) -> list[str]:
    """Return the commands that set what differs; the owner first, chown clears set-id bits."""
    commands = []
    if "owner" in fields and owner:
        commands.append(f"chown {quote(owner)} {quote(path)}")
    if "mode" in fields or commands:
        commands.append(f"chmod {quote(mode)} {quote(path)}")
    return commands


def as_root(script: str, *, become: bool) -> str:
    """Return probe text that runs as root where the thing probed may be readable by root alone."""
    return f"sudo -n /bin/sh -c {quote(script)}" if become else script
