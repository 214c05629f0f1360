"""From a node's endpoint to the hops that lead there: the inventory first, then ssh_config."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.node import Node
from macfleet.ssh import trouble
from macfleet.ssh.config_files import ConfigFiles
from macfleet.ssh.jumps import JumpHop, jump_hops
from macfleet.ssh.lean import import_paramiko
from macfleet.ssh.options import Options, options_for

_CONNECT_TIMEOUT = 10.0
_LONGEST_CONNECT = 120.0
_DEEPEST = 8

Say = Callable[[Diagnostic], None]


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server on the way, the node itself being the last.

    Attributes:
        node: inventory name the hop belongs to in messages.
        identities: private keys to offer, in order.
        search: whether keys may also be looked for in ``~/.ssh``; no once an identity is named.
        pin: pinned ``SHA256:…`` fingerprint, or empty.
        proxy_command: ssh_config's ProxyCommand of a first hop, or empty.
        connect_timeout: seconds for the TCP connection; never endless.
        options: what else ssh_config says about the host.
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
    options: Options = field(default_factory=lambda: Options(""))

    @property
    def name(self) -> str:
        """How known_hosts names the hop."""
        from macfleet.ssh.known_hosts import host_name  # noqa: PLC0415  (a stream is opened without it)

        return self.options.alias or host_name(self.host, self.port)


Route = tuple[Hop, ...]


def place_of(route: Route) -> Route:
    """Return the route without the node it was asked for: nodes behind one jump host share it."""
    return tuple(replace(hop, node="", pin="") for hop in route)


class _Place(NamedTuple):
    """Where a hop is and whom it is asked for."""

    host: str
    user: str
    port: int


class Routes:
    """Resolves endpoints against ssh_config.

    Args:
        ssh_config: read instead of the user's and the system's files when given.
        say: takes a warning for each setting that is not followed, once.

    Raises:
        MacfleetError: E0414, a file cannot be read.
    """

    def __init__(self, ssh_config: Path | None = None, say: Say = lambda _: None) -> None:
        try:
            self._files = ConfigFiles(ssh_config)
        except ValueError as error:
            raise MacfleetError(trouble.bad_config("", str(error))) from error
        self._say = say
        self._said: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def to(self, node: Node) -> Route:
        """Return the hops to a node, jump hosts first.

        The inventory wins over ssh_config; `jump: none` switches off a ProxyJump of ssh_config.

        Raises:
            MacfleetError: E0413 the jump specification cannot be followed, E0414 ssh_config cannot be
                understood, E0415 it asks for what macfleet must not pass over.
        """
        endpoint = node.endpoint
        # Port 22 is the inventory's default: ssh_config may know better.
        port = None if endpoint.port == 22 else endpoint.port
        with self._lock:
            found, options = self._resolve(JumpHop(endpoint.host, endpoint.user, port), node)
            jump = endpoint.jump or options.jump
            last = _hop(node.name, found, options, endpoint.identity_file, endpoint.host_key)
            if jump not in {"", "none"}:  # `none` rules out a ProxyJump, and no ProxyCommand
                last = replace(last, proxy_command="")
            return (*self._through(jump, node, depth=0), last)

    def _through(self, jump: str, node: Node, *, depth: int) -> Route:
        """Return the hops of a ProxyJump list; only the first one follows its own ssh_config further."""
        if jump in {"", "none"}:
            return ()
        if depth > _DEEPEST:
            raise MacfleetError(trouble.bad_route(node.name, f"jump hosts lead in a circle at {jump}"))
        hops: list[Hop] = []
        for index, wanted in enumerate(_jumps(jump, node)):
            found, options = self._resolve(wanted, node)
            hop = _hop(node.name, found, options, "", "")
            if index == 0:
                hops += self._through(options.jump, node, depth=depth + 1)
            hops.append(hop if index == 0 and not hops else replace(hop, proxy_command=""))
        return tuple(hops)

    def _resolve(self, wanted: JumpHop, node: Node) -> tuple[_Place, Options]:
        try:
            options = options_for(self._files, wanted.host, wanted.user, wanted.port)
        except ValueError as error:
            raise MacfleetError(trouble.bad_config(node.name, str(error))) from error
        self._remark(options, wanted.host, node)
        user = wanted.user or options.user
        if not user:
            import_paramiko()
            from macfleet.ssh.by_fabric import place_by_fabric  # noqa: PLC0415 (it takes as long as all of ssh)

            return _Place(*place_by_fabric(wanted, options)), options
        return _Place(options.host, user, wanted.port or options.port), options

    def _remark(self, options: Options, host: str, node: Node) -> None:
        refused = [remark for remark in options.remarks if remark.refused]
        if refused:
            raise MacfleetError(trouble.not_followed(node.name, host, remark) for remark in refused)
        for remark in options.remarks:
            if (remark.keyword, remark.where) not in self._said:
                self._said.add((remark.keyword, remark.where))
                self._say(trouble.otherwise(host, remark))


def _jumps(jump: str, node: Node) -> Iterable[JumpHop]:
    try:
        return jump_hops(jump)
    except ValueError as error:
        raise MacfleetError(trouble.bad_route(node.name, str(error))) from error


def _hop(node: str, found: _Place, options: Options, identity: str, pin: str) -> Hop:
    identities = (str(Path(identity).expanduser()),) if identity else options.identities
    return Hop(
        node=node,
        host=found.host,
        port=found.port,
        user=found.user,
        identities=tuple(path for path in identities if path != "none"),
        search=not identities,
        pin=pin,
        proxy_command=options.command,
        connect_timeout=min(options.connect_timeout or _CONNECT_TIMEOUT, _LONGEST_CONNECT),
        options=options,
    )
