"""ProxyJump specifications taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPEC = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<address>[^]]+)\]|(?P<host>[^:@/\[\]]+))(?::(?P<port>\d+))?/?"
)
_BARE = re.compile(r"(?:(?P<user>[^@]+)@)?(?P<address>(?=.*\w)[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[%\w:.]*)")


@dataclass(frozen=True, slots=True)
class JumpHop:
    """One host of a ProxyJump list; user and port are empty and None where it does not say."""

    host: str
    user: str = ""
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{f'{self.user}@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"


def jump_hops(text: str) -> tuple[JumpHop, ...]:
    """Return the hosts of ``[user@]host[:port],…`` in the order of travel; ``ssh://`` may stand before each.

    Raises:
        ValueError: a part is no host.
    """
    hops = []
    for part in (each.strip() for each in text.split(",")):
        found = _SPEC.fullmatch(part) or _BARE.fullmatch(part)
        if found is None:
            raise ValueError(f'"{part}" is no [user@]host[:port]')
        groups = found.groupdict()
        port = int(groups["port"]) if groups.get("port") else None
        if port is not None and not 0 < port < 65536:
            raise ValueError(f"{port} is no port")
        hops.append(JumpHop(groups.get("host") or groups["address"], groups["user"] or "", port))
    return tuple(hops)
