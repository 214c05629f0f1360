"""A file that the node fetches by itself and that takes its name only once its checksum is proven."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.documents import Seconds, Size
from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step
from macfleet.model.shell import quote, words
from macfleet.resources import ownership, regular
from macfleet.resources.params import AbsolutePath, Mode, Owner, Params, Presence, Surroundings

_SHA256 = re.compile(r"^[0-9a-f]{64}\Z")
_BLOCK = 512  # what POSIX counts `ulimit -f` in
_HASHED = 100e6  # bytes a second that shasum reads at the least
_URL = re.compile(r"^https?://([^/?#]+)")
_DIRT = re.compile(r"[\s\"\\\x00-\x1f\x7f]")
_NAMED = 16  # digits of the digest in the name of what is kept of a transfer that was cut
# from here on a transfer that was cut goes on where it stopped
_FETCH = """set -e; umask 077; again=
[ ! -L "$part" ] || rm -f "$part"
sha() { shasum -a 256 <"$part" | cut -d ' ' -f 1; }
if [ ! -f "$part" ] || [ "$(sha)" != "$want" ]; then
  begun=; [ ! -s "$part" ] || begun=1
  rc=0; fetch --continue-at - || rc=$?
  case $rc in
    0) [ -z "$begun" ] || [ "$(sha)" = "$want" ] || again=1 ;;  # the file there is another one by now
    22|33|36) again=$begun ;;  # the server cannot go on from here, or what is here is longer than the whole
  esac
  [ -z "$again" ] || { rm -f "$part"; rc=0; fetch || rc=$?; }
  [ "$rc" != 63 ] && [ "$rc" -lt 128 ] || { rm -f "$part"; echo "larger than $most bytes" >&2; exit 1; }
  [ "$rc" = 0 ] || { echo "curl ended with status $rc; what came is kept for the next try" >&2; exit 1; }
  [ -f "$part" ] || : >"$part"
fi
[ "$(stat -f %z "$part")" -le "$most" ] || { rm -f "$part"; echo "larger than $most bytes" >&2; exit 1; }
got=$(sha)
[ "$got" = "$want" ] || { rm -f "$part"; echo "SHA-256 is $got, expected $want" >&2; exit 1; }
"""


class DownloadParams(Params):
    """A file from a URL, fetched by the node with curl, proven by its SHA-256 before it takes its name.

    A transfer that was cut goes on where it stopped. The URL shows in no process list.
    """

    kind: ClassVar[str] = "download"

    url: str = Field("", description="Where it comes from; https, redirects too. Needed unless absent.")
    path: AbsolutePath = Field(description="Absolute path on the node.")
    sha256: str = Field("", description="SHA-256 of the file, 64 hexadecimal digits. Needed unless absent.")
    mode: Mode = Field("0644", description="Octal mode in quotes.")
    owner: Owner = Field("", description="user or user:group; empty leaves it alone.")
    http: bool = Field(False, description="Allow a URL without encryption; the checksum is still proven.")
    max_size: Size = Field(4 * 2**30, description="Size that is given up at, such as 20GiB.", ge=1)
    limit: Seconds = Field(1800.0, description="Time the transfer may take, such as 2h.", gt=0)
    become: bool = Field(False, description="Act as root through sudo -n.")
    state: Presence = Field("present", description="absent removes the file.")

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str) -> str:
        value = value.lower().removeprefix("sha256:")
        if value and not _SHA256.match(value):
            raise ValueError("a SHA-256 has 64 hexadecimal digits")
        return value

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value:
            return value
        parts = _URL.match(value)
        if parts is None or _DIRT.search(value):
            raise ValueError("a URL is https://HOST/PATH; spaces and quotes in it are written as %20 and %22")
        if "@" in parts[1]:
            raise ValueError("a URL must not hold a login; secrets never stand in a file of the fleet")
        return value

    @model_validator(mode="after")
    def _proven(self) -> DownloadParams:
        if self.state == "present":
            missing = [name for name in ("url", "sha256") if not getattr(self, name)]
            if missing:
                raise ValueError(f"{' and '.join(missing)} missing; what is fetched must be proven")
            if self.url.startswith("http:") and not self.http:
                raise ValueError("the URL is not encrypted; write https://, or say http: true")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the path names it)
        """Return ``download.`` and the path."""
        return f"download.{self.path}"

    def provides(self) -> tuple[str, ...]:
        """Return the file's path."""
        return (self.path,) if self.state == "present" else ()

    def uses(self) -> tuple[str, ...]:
        """Return the path: a managed directory above it comes first."""
        return (self.path,)

    def decides(self) -> str:
        """Return the path."""
        return self.path

    def build(self, around: Surroundings) -> Download:
        """Return the download."""
        return Download(
            path=self.path,
            url=self.url,
            sha256=self.sha256,
            mode=self.mode,
            owner=self.owner,
            http=self.http,
            max_size=self.max_size,
            limit=self.limit,
            become=self.become,
            absent=self.state == "absent",
            needs=around.needs,
        )


@dataclass(frozen=True, slots=True)
class Download:
    """A file by URL and digest; `max_size` in bytes, `limit` in seconds."""

    path: str
    url: str
    sha256: str
    mode: str = "0644"
    owner: str = ""
    http: bool = False
    max_size: int = 4 * 2**30
    limit: float = 1800.0
    become: bool = False
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "download"

    @property
    def address(self) -> str:
        """``download.`` and the path."""
        return f"download.{self.path}"

    def probe(self) -> Probe:
        """Read type, mode, owner and SHA-256 of what stands at the path; all of it, each time."""
        limit = 20 + self.max_size / _HASHED
        return Probe(regular.script(self.path, become=self.become), self._parse, limit=limit)

    def desired(self) -> State:
        """Type, digest and mode, and the owner when one is wanted."""
        if self.absent:
            return {}
        owner = {"owner": self.owner} if self.owner else {}
        return {"type": "file", "sha256": self.sha256, "mode": self.mode, **owner}

    def change(self, actual: State | None) -> Change:
        """Compare; a link is replaced, a directory or device is never removed."""
        if self.absent:
            return regular.gone(self.address, self.path, actual)
        return regular.change(self.address, self.path, self.desired(), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Fetch it when its content differs, otherwise set mode and owner."""
        fields = {each.field for each in change.fields}
        if change.action is Action.NOOP:
            return ()
        if change.action is Action.DELETE:
            return (Run(f"rm -f {quote(self.path)} {self._parts}", become=self.become),)
        if "sha256" in fields:
            return (Run(self._fetch(), become=self.become, limit=self.limit + 60),)
        commands = ownership.mend(self.path, fields, self.mode, self.owner)
        return (Run("\n".join(["set -e", *commands]), become=self.become),)

    @property
    def _kept(self) -> str:
        folder, name = posixpath.split(self.path)
        return posixpath.join(folder, f".{name}.")

    @property
    def _part(self) -> str:
        return f"{self._kept}{self.sha256[:_NAMED]}.part"

    @property
    def _parts(self) -> str:
        """Every name, as the shell's pattern, under which something of a file for this path was kept."""
        return f"{quote(self._kept)}{'?' * _NAMED}.part"

    def _fetch(self) -> str:
        """Return the script: fetch beside the path, prove, then rename."""
        protocols = "=http,https" if self.http else "=https"
        options: list[str | float] = [
            "--silent",
            "--show-error",
            "--fail",
            "--location",
            "--globoff",
            "--max-redirs",
            5,
            "--retry",
            2,
        ]
        options += ["--proto", protocols, "--proto-redir", protocols, "--max-time", f"{self.limit:g}"]
        options += ["--connect-timeout", 20, "--speed-limit", 1024, "--speed-time", 60]
        options += ["--max-filesize", self.max_size, "--output", self._part]
        blocks = self.max_size // _BLOCK + 1
        mend = ownership.mend(self._part, {"mode", "owner"}, self.mode, self.owner)
        return (
            f"part={quote(self._part)}; want={self.sha256}; most={self.max_size}\n"
            # what was kept of another file that was wanted here once
            f'for each in {self._parts}; do [ "$each" = "$part" ] || rm -f "$each"; done\n'
            # -q first: the login's own .curlrc has no say; the URL comes by stdin, not as an argument
            f"fetch() {{ ( ulimit -f {blocks}; printf 'url = \"%s\"\\n' {quote(self.url)} |"
            f' curl -q --config - {words(options)} "$@" ); }}\n'
            f"{_FETCH}{chr(10).join(mend)}\n"
            f'mv -f "$part" {quote(self.path)}'
        )

    def _parse(self, output: ProbeOutput) -> State | None:
        return regular.parse(self.path, output, self.owner)
