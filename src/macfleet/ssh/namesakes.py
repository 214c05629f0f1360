"""Nodes that known_hosts gives one name though they are different Macs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Node
from macfleet.ssh.route import Route, Routes


class Namesakes:
    """Knows which nodes share a name in known_hosts and depend on it.

    ``10.0.0.10`` behind one jump host and ``10.0.0.10`` behind another are two Macs of one name. A node
    whose key the inventory pins needs no list, and is nobody's namesake.

    Args:
        routes: resolves endpoints; asked when the first name is asked for.
        nodes: the whole fleet.
    """

    def __init__(self, routes: Routes, nodes: Iterable[Node]) -> None:
        self._routes = routes
        self._nodes = tuple(nodes)

    def of(self, route: Route) -> frozenset[str]:
        """Return the nodes that have the name of a route's last hop and are another Mac."""
        return frozenset(
            other[-1].node
            for other in self._known
            if other[-1].name == route[-1].name and _place(other) != _place(route)
        )

    @cached_property
    def _known(self) -> tuple[Route, ...]:
        return tuple(self._resolved())

    def _resolved(self) -> Iterator[Route]:
        for node in self._nodes:
            if node.endpoint.host_key:
                continue
            try:
                yield self._routes.to(node)
            except MacfleetError:
                continue  # it is told where that node is enrolled


def _place(route: Route) -> tuple[tuple[str, int, str], ...]:
    return tuple((hop.host, hop.port, hop.proxy_command) for hop in route)
