"""Keys held by an ssh-agent."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import paramiko
from paramiko.agent import AgentKey, AgentSSH
from paramiko.pkey import PublicBlob

_PATIENCE = 60.0
"""Seconds an agent may take: it may ask its owner to confirm."""


class _AgentAt(AgentSSH):
    """An agent behind a socket; paramiko's own client knows SSH_AUTH_SOCK only (paramiko 5.1)."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__()
        self._connect(connected)  # type: ignore[attr-defined]  # missing in its stubs


@contextlib.contextmanager
def agent_keys(agent: str) -> Iterator[tuple[AgentKey, ...]]:
    """Yield the keys of an agent, usable until the context ends; none when it does not answer.

    Args:
        agent: path of its socket, ``none``, or empty for ``SSH_AUTH_SOCK``.
    """
    path = agent or os.environ.get("SSH_AUTH_SOCK", "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        held: tuple[AgentKey, ...] = ()
        if path not in {"", "none"}:
            with contextlib.suppress(OSError, paramiko.SSHException):
                connection.connect(path)
                held = _AgentAt(connection).get_keys()
        yield tuple(_with_certificate(key) for key in held)


def _with_certificate(key: AgentKey) -> AgentKey:
    """Let a certificate the agent holds be offered as one; paramiko 5.1 sends its name with the bare key."""
    if "-cert-v01@" in key.get_name():
        key.public_blob = PublicBlob(key.get_name(), key.blob)  # type: ignore[assignment]  # as PKey has it
    return key
