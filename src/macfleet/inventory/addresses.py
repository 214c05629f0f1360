"""What stands where a node is listed: a name or an IPv6 address, ranges in it, perhaps a port."""

from __future__ import annotations

import re

from macfleet.inventory.names import is_ipv6

_BRACKETED = re.compile(r"\[(?P<inside>.+)\]:(?P<port>[0-9]{1,5})")
_INNER = re.compile(r"\[[^\[\]]*\]")


def split_port(text: str) -> tuple[str, int | None]:
    """Return the name (ranges kept) and the port: ``mac-[01:04]:2222``, ``[2001:db8::1]:2222``.

    An IPv6 address takes a port only in brackets, so its own colons never count as one. Text that is
    neither comes back whole; whoever checks the name refuses it.
    """
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed and is_address_like(bracketed["inside"]):
        return bracketed["inside"], int(bracketed["port"])
    bare = _INNER.sub("", text)
    if bare.count(":") == 1:
        name, _, port = text.rpartition(":")
        if port.isascii() and port.isdigit() and len(port) <= 5:
            return name, int(port)
    return text, None


def is_address_like(text: str) -> bool:
    """Whether text is an IPv6 address, where a range may stand for digits."""
    return is_ipv6(_INNER.sub("0", text))
