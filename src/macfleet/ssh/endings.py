"""Scripts on a node are ended with all they started."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import paramiko

from macfleet.ssh.conversation import Conversation
from macfleet.ssh.wrapping import GRACE, ending

_BROKEN = (EOFError, OSError, paramiko.SSHException)


def end_groups(
    talks: Iterable[Conversation], open_session: Callable[[], paramiko.Channel], patience: float
) -> str:
    """End the process groups of conversations; return in words what came of it.

    Args:
        talks: scripts of one connection; those that have said no group yet have not begun.
        open_session: opens one more session of that connection.
        patience: seconds to wait for that session's answer, besides the groups' own time to end.
    """
    talks = [talk for talk in talks if talk.group is not None]
    groups = {talk.group for talk in talks if talk.group is not None}
    if not groups:
        return "It had not started."
    names = ", ".join(map(str, sorted(groups)))
    try:
        channel = open_session()
        channel.exec_command(ending(groups))
        if channel.status_event.wait(GRACE + patience) and channel.exit_status == 0:
            return f"Its process group {names} was ended."
    except _BROKEN:
        # No session is left to end them by; the ones they run in take signals too.
        killed = [talk.kill(GRACE) for talk in talks]
        if all(killed):
            return f"Its process group {names} was killed."
    return f"Its process group {names} could not be ended and may still run on the node."
