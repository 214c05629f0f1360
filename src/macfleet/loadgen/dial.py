"""Opens connections."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from macfleet.loadgen.loop import ReadFirstLoop
from macfleet.loadgen.target import Target
from macfleet.loadgen.wire import Connection

Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


async def connect(target: Target, patience: float) -> Connection:
    """Open a connection within `patience` seconds.

    Raises:
        ConnectionRefusedError: nobody listens there.
        TimeoutError: the time was up.
        OSError: any other reason of the system's.
    """
    return await asyncio.wait_for(_connected(target), patience)


async def _connected(target: Target) -> Connection:
    loop = asyncio.get_running_loop()
    opened = await _opened(target)
    _, connection = await loop.create_connection(
        lambda: Connection(loop),
        sock=opened,
        ssl=True if target.tls else None,
        server_hostname=target.host if target.tls else None,
    )
    if isinstance(loop, ReadFirstLoop) and not target.tls:
        loop.read_first(opened, connection.reader(opened))
    return connection


async def _opened(target: Target) -> socket.socket:
    """Return a socket that is connected to the first of the target's addresses that takes it."""
    loop = asyncio.get_running_loop()
    problem: OSError | None = None
    for family, address in await _addresses(target):
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setblocking(False)
        try:
            await loop.sock_connect(opened, address)
        except OSError as error:
            opened.close()
            problem = error
        except BaseException:
            opened.close()
            raise
        else:
            return opened
    raise problem or OSError(f"{target.host} has no address")


async def _addresses(target: Target) -> list[tuple[int, Address]]:
    """Return families and addresses; a name is looked up, which takes a thread, an address is not."""
    try:
        literal = ipaddress.ip_address(target.host)
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]
    family = socket.AF_INET if isinstance(literal, ipaddress.IPv4Address) else socket.AF_INET6
    return [(family, (target.host, target.port))]
