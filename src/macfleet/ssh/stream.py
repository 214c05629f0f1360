"""The stream to the first hop of a route: opened without anything that speaks SSH."""

from __future__ import annotations

from macfleet.model.diagnostic import NodeUnreachable
from macfleet.ssh import trouble
from macfleet.ssh.route import Hop
from macfleet.ssh.wire import Piped, Wire


def stream_to(hop: Hop) -> Wire:
    """Return a stream to a hop that no jump host leads to (raises NodeUnreachable)."""
    options = hop.options
    try:
        if hop.proxy_command:
            return Piped.through(hop.proxy_command)
        wire = Wire.connect_to(
            hop.host, hop.port, hop.connect_timeout, family=options.family, source=options.bind_address
        )
    except (OSError, EOFError, ValueError) as error:
        raise NodeUnreachable(trouble.no_answer(hop.node, hop.name, reason_of(error))) from error
    wire.greet()
    return wire


def reason_of(error: Exception) -> str:
    """Return what an error says, at least its name."""
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
