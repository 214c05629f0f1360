"""Where requests go, and the bytes of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, from a base URL such as ``http://127.0.0.1:8080``."""

    host: str
    port: int
    tls: bool
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Split a base URL (raises ValueError when it is not http or https with a host)."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// address with a host")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        keep_alive: bool = True,
    ) -> bytes:
        """Return the bytes of one request.

        Raises:
            ValueError: a path or header would break out of its line.
        """
        fields = {"Host": self.authority, "Accept": "text/event-stream, application/json"}
        fields["Connection"] = "keep-alive" if keep_alive else "close"
        if body is not None:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= headers or {}
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        if any("\r" in line or "\n" in line for line in lines) or " " in path:
            raise ValueError("a path or header holds a line break or a space")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
