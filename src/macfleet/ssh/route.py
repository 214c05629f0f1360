"""From a node's endpoint to the hops that lead there: ssh_config read through Fabric."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import fabric

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Node
from macfleet.ssh import trouble
from macfleet.ssh.known_hosts import host_name

_CONNECT_TIMEOUT = 10.0
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server on the way, the node itself being the last.

    Attributes:
        node: inventory name the hop belongs to in messages.
        identities: private keys to offer, in order.
        search: whether keys may also be looked for in ``~/.ssh``; no once an identity is named.
        pin: pinned ``SHA256:…`` fingerprint, or empty.
        proxy_command: ssh_config's ProxyCommand of a first hop, or empty.
        connect_timeout: seconds for the TCP connection.
    """

    node: str
    host: str
    port: int
    user: str
    identities: tuple[str, ...] = ()
    search: bool = True
    pin: str = ""
    proxy_command: str = ""
    connect_timeout: float = _CONNECT_TIMEOUT

    @property
    def name(self) -> str:
        """How known_hosts names the hop."""
        return host_name(self.host, self.port)


Route = tuple[Hop, ...]


class Routes:
    """Resolves endpoints against ssh_config.

    Args:
        ssh_config: read instead of the user's and the system's files when given.
    """

    def __init__(self, ssh_config: Path | None = None) -> None:
        # Lazy: Fabric's own fabric.yml files have no say here, ssh_config has.
        self._config = fabric.Config(lazy=True, runtime_ssh_path=str(ssh_config) if ssh_config else None)
        self._config.load_ssh_config()
        self._lock = threading.Lock()

    def to(self, node: Node) -> Route:
        """Return the hops to a node, jump hosts first.

        The inventory wins over ssh_config; `jump: none` switches off a ProxyJump of ssh_config.

        Raises:
            MacfleetError: the jump specification cannot be followed.
        """
        endpoint = node.endpoint
        # Port 22 is the inventory's default: ssh_config may know better.
        with self._lock:
            found = self._resolve(
                endpoint.host, endpoint.user, None if endpoint.port == 22 else endpoint.port, node
            )
            jump = endpoint.jump or str(found.ssh_config.get("proxyjump", ""))
            command = "" if jump else str(found.ssh_config.get("proxycommand", ""))
            last = _hop(node.name, found, endpoint.identity_file, endpoint.host_key, command)
            return (*self._through(jump, node, depth=0), last)

    def _through(self, jump: str, node: Node, *, depth: int) -> Route:
        """Return the hops of a ProxyJump list; only the first one follows its own ssh_config further."""
        if jump in {"", "none"}:
            return ()
        if depth > _DEEPEST:
            raise MacfleetError(trouble.bad_route(node.name, f"jump hosts lead in a circle at {jump}"))
        hops: list[Hop] = []
        for index, text in enumerate(part.strip() for part in jump.split(",")):
            found = self._resolve(text, "", None, node)
            further = str(found.ssh_config.get("proxyjump", "")) if index == 0 else ""
            command = str(found.ssh_config.get("proxycommand", "")) if index == 0 and not further else ""
            hops += self._through(further, node, depth=depth + 1)
            hops.append(_hop(node.name, found, "", "", command))
        return tuple(hops)

    def _resolve(self, host: str, user: str, port: int | None, node: Node) -> fabric.Connection:
        try:
            return fabric.Connection(host, user=user or None, port=port, gateway=False, config=self._config)
        except ValueError as error:
            raise MacfleetError(trouble.bad_route(node.name, f"{host}: {error}")) from error


def _hop(node: str, found: fabric.Connection, identity: str, pin: str, command: str) -> Hop:
    configured = tuple(str(path) for path in found.ssh_config.get("identityfile", ()))
    identities = (identity,) if identity else configured
    return Hop(
        node=node,
        host=str(found.host),
        port=int(found.port),
        user=str(found.user),
        identities=tuple(str(Path(path).expanduser()) for path in identities),
        search=not identities,
        pin=pin,
        proxy_command="" if command == "none" else command,
        connect_timeout=float(found.connect_timeout or _CONNECT_TIMEOUT),
    )
