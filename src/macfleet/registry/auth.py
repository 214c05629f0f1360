"""Bearer and Basic authentication against registries: what a challenge asks, and who may see a password."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from macfleet.model.secret import Secret

_PARAMETER = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))\s*,?\s*')
_SCHEME = re.compile(r"\s*(Bearer|Basic)\b\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A login at one registry; it is sent to no other host.

    Attributes:
        realms: further hosts that may see it because they issue the registry's tokens.
    """

    user: str
    password: Secret
    realms: tuple[str, ...] = ()

    def basic(self) -> str:
        """Return the value of an Authorization header."""
        pair = f"{self.user}:{self.password.reveal()}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"

    def may_see(self, host: str, realm: str) -> bool:
        """Whether the token service `realm` may see the login of registry `host`.

        It may when it is the same host, one is a subdomain of the other, or it is listed.
        """
        name, issuer = _bare(host), _bare(realm)
        if name == issuer or realm in self.realms:
            return True
        shorter, longer = sorted((name, issuer), key=len)
        return "." in shorter and longer.endswith(f".{shorter}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A parsed WWW-Authenticate header: ``bearer`` with where to ask for a token, or ``basic``."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenge(headers: Sequence[str]) -> Challenge | None:
    """Return the strongest challenge of the headers that is understood, Bearer before Basic."""
    found = [challenge for header in headers if (challenge := _parse_one(header)) is not None]
    return min(found, key=lambda challenge: challenge.scheme != "bearer", default=None)


def _parse_one(header: str) -> Challenge | None:
    scheme = _SCHEME.match(header)
    if scheme is None:
        return None
    parameters = {
        matched.group(1).lower(): matched.group(2) if matched.group(2) is not None else matched.group(3)
        for matched in _PARAMETER.finditer(header, scheme.end())
    }
    return Challenge(
        scheme.group(1).lower(),
        parameters.get("realm", ""),
        parameters.get("service", ""),
        parameters.get("scope", ""),
    )


def _bare(host: str) -> str:
    return host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host.lower()
