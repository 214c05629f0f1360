"""The inventory variable `registries`: logins at registries, and mirrors that are asked first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from macfleet.documents import Border
from macfleet.model.node import RegistryAccess
from macfleet.model.reference import registry_place

_REFERENCE = re.compile(r"(?:cmd|env|file|keyring|vault):\s*\S.*", re.DOTALL)


def _reference(value: str) -> str:
    """Refuse what may be the secret itself; it is not repeated."""
    if value and not _REFERENCE.fullmatch(value):
        raise ValueError(
            "is not a secret reference such as env:NAME or file:PATH; a password never stands here"
        )
    return value


def _user(value: str) -> str:
    if ":" in value or any(ord(character) < 32 for character in value):
        raise ValueError("a login name has no colon and no line break")
    return value


def _registry(value: str) -> str:
    if "/" in value:
        raise ValueError(f"{value!r} is not a registry: a host name, perhaps with :port")
    return registry_place(value)


class NodeRegistryBorder(Border):
    """How nodes speak to one registry; an entry of a mirror's own says how they log in there."""

    user: Annotated[str, AfterValidator(_user)] = Field(
        default="", description="login name; without one it is asked without a login"
    )
    password: Annotated[str, AfterValidator(_reference)] = Field(
        default="", description="secret reference such as env:NAME, read when a node pulls"
    )
    mirrors: tuple[Annotated[str, AfterValidator(registry_place)], ...] = Field(
        default=(), description="asked first, in this order: host:port or host:port/folder"
    )

    @model_validator(mode="after")
    def _whole(self) -> NodeRegistryBorder:
        if bool(self.user) != bool(self.password):
            raise ValueError("a login has a user and a password, or neither is given")
        if len(set(self.mirrors)) < len(self.mirrors):
            raise ValueError("names a mirror twice")
        return self


NodeRegistries = dict[Annotated[str, AfterValidator(_registry)], NodeRegistryBorder]


def accesses(registries: Mapping[str, NodeRegistryBorder]) -> Iterable[RegistryAccess]:
    """Yield the values as what the rest of macfleet takes, sorted by host."""
    for host, each in sorted(registries.items()):
        yield RegistryAccess(host, each.user, each.password, each.mirrors)
