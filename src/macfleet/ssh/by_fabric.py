"""Where a hop is whose user nobody names: Fabric's defaults decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fabric
import paramiko

if TYPE_CHECKING:
    from macfleet.ssh.jumps import JumpHop
    from macfleet.ssh.options import Options


def place_by_fabric(wanted: JumpHop, options: Options) -> tuple[str, str, int]:
    """Return host, user and port of a hop."""
    # Lazy: Fabric's own fabric.yml files have no say here, ssh_config has.
    config = fabric.Config(lazy=True, ssh_config=_SshConfig(options))
    found = fabric.Connection(wanted.host, port=wanted.port, gateway=False, config=config)
    return str(found.host), str(found.user), int(found.port)


class _SshConfig(paramiko.SSHConfig):
    """One host's options for Fabric; paramiko's own reader knows no Include (paramiko 5.1)."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._found = paramiko.SSHConfigDict(hostname=options.host, port=str(options.port))

    def lookup(self, hostname: str) -> paramiko.SSHConfigDict:  # noqa: ARG002  (one host's alone)
        """Return what counts for the host."""
        return self._found
