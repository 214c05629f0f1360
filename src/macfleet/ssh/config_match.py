"""Whether a block of ssh_config counts for a host: what stands after Host and Match."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Mapping, Sequence

from macfleet.ssh.config_settings import Settings
from macfleet.ssh.config_text import Line, cut_word, expand, matches, matches_list

_EXEC_LIMIT = 30.0


def begins(line: Line, found: Settings) -> bool:
    """Whether the block that a Host or Match line begins counts (raises ValueError)."""
    return _host_matches(line.words(), found.host) if line.keyword == "host" else _match(line.rest, found)


def _host_matches(patterns: Sequence[str], host: str) -> bool:
    if not patterns:
        raise ValueError("Host has no pattern")
    matched = False
    for pattern in patterns:
        if matches(pattern.removeprefix("!"), host):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _match(rest: str, found: Settings) -> bool:
    """Judge the criteria of a Match line (raises ValueError)."""
    result, count = True, 0
    while rest:
        word, rest = cut_word(rest)
        if not word or word.startswith("#"):
            break
        negated, criterion = word.startswith("!"), word.removeprefix("!").lower()
        if criterion == "all":
            after, _ = cut_word(rest)
            if count > 1 or (after and not after.startswith("#")):
                raise ValueError("'all' stands alone in a Match")
            return result and not negated
        count += 1
        if criterion in {"canonical", "final"}:
            found.again = found.again or (criterion == "final" and not found.final)
            result = result and found.final != negated
            continue
        value, rest = cut_word(rest)
        if not value or value.startswith("#"):
            raise ValueError(f"Match {criterion} has no value")
        result = _holds(criterion, value, found, so_far=result) != negated and result
    return result


def _holds(criterion: str, value: str, found: Settings, *, so_far: bool) -> bool:
    me = getpass.getuser()
    compared: Mapping[str, tuple[str, str]] = {
        "host": (value.lower(), found.host_name.lower()),
        "originalhost": (value.lower(), found.asked.lower()),
        "user": (value, found.text("user") or me),
        "localuser": (value, me),
        "tagged": (value, found.text("tag")),
        "sessiontype": (value.lower(), "exec"),
    }
    if criterion in compared:
        return matches_list(*compared[criterion])
    if criterion != "exec":
        raise ValueError(f"Match {criterion} is not supported")
    # A criterion before it that failed spares the command, as with ssh.
    return so_far and _succeeds(expand(value, found.tokens))


def _succeeds(command: str) -> bool:
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=_EXEC_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"Match exec ran longer than {_EXEC_LIMIT:g} s: {command}") from error
    return done.returncode == 0
