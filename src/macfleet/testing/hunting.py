"""A hunt for planted secrets: in text, in files of every kind, and in what processes show."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

_PAUSE = 0.02
_PROC = Path("/proc")
_BREAK = re.compile(rb"(?:\\[rn]|[\r\n])[ \t]*")


@dataclass(frozen=True, slots=True)
class Hunt:
    """Looks for secrets of UTF-8 text in every spelling a program may give them.

    The spellings are written down here a second time on purpose: a hunt that asked the redactor for them
    would miss what the redactor misses.
    """

    secrets: tuple[str, ...]

    def spellings(self) -> Mapping[bytes, str]:
        """Return the bytes that give a secret away, and what each is."""
        found: dict[bytes, str] = {}
        for secret in self.secrets:
            data = secret.encode()
            found |= {json.dumps(secret)[1:-1].encode(): "JSON"}
            found |= {quote(secret, safe="").encode(): "URL", quote_plus(secret).encode(): "form"}
            found |= {data.hex().encode(): "hex", data.hex().upper().encode(): "HEX"}
            for name, encode in (("base64", base64.b64encode), ("base64 for URLs", base64.urlsafe_b64encode)):
                found |= dict.fromkeys(_at_any_offset(encode, data), name)
            found |= {data: "plain"}
        return found

    def in_bytes(self, data: bytes) -> tuple[str, ...]:
        """Return the names of the spellings that are in `data`, sorted."""
        # What a program broke into lines is looked for in one piece, too.
        joined = _BREAK.sub(b"", data)
        found = {
            name for spelling, name in self.spellings().items() if spelling in data or spelling in joined
        }
        return tuple(sorted(found))

    def in_text(self, text: str) -> tuple[str, ...]:
        """Return the names of the spellings that are in a text, sorted."""
        return self.in_bytes(text.encode("utf-8", "surrogateescape"))

    def in_files(self, *folders: Path, but: Collection[Path] = ()) -> dict[str, tuple[str, ...]]:
        """Return by path what files below the folders give away, packed and compressed ones unpacked."""
        given: dict[str, tuple[str, ...]] = {}
        for path in sorted(path for folder in folders for path in folder.rglob("*")):
            if path.is_file() and path not in but:
                for name, data in _unpacked(str(path), path.read_bytes()):
                    if found := self.in_bytes(data):
                        given[name] = found
        return given

    @contextmanager
    def in_processes(self) -> Iterator[Watch]:
        """Look at the command line and the environment of every process until the block ends (Linux).

        Processes that live for less than a few hundredths of a second may be missed.
        """
        spellings = self.spellings()
        watch = Watch(tuple(spellings.items()), re.compile(b"|".join(map(re.escape, spellings))))
        ended = threading.Event()
        thread = threading.Thread(target=watch.until, args=(ended,))
        thread.start()
        try:
            yield watch
        finally:
            ended.set()
            thread.join()


@dataclass(slots=True)
class Watch:
    """What was seen of processes.

    Attributes:
        any: matches any of the spellings.
        rounds: how often all were looked at; processes: ids that were seen.
        found: what gave a secret away: which of ``cmdline`` and ``environ``, the spelling, the first words.
    """

    spellings: tuple[tuple[bytes, str], ...]
    any: re.Pattern[bytes]
    rounds: int = 0
    processes: set[int] = field(default_factory=set)
    found: set[tuple[str, str, str]] = field(default_factory=set)

    def until(self, ended: threading.Event) -> None:
        """Look at all processes again and again."""
        while True:
            self.look()
            if ended.is_set():
                return
            time.sleep(_PAUSE)

    def look(self) -> None:
        """Look at every process once."""
        for folder in _PROC.iterdir():
            if not folder.name.isdecimal():
                continue
            self.processes.add(int(folder.name))
            for what in ("cmdline", "environ"):
                with suppress(OSError):
                    self._judge(folder, what)
        self.rounds += 1

    def _judge(self, folder: Path, what: str) -> None:
        shown = (folder / what).read_bytes()
        if not self.any.search(shown):
            return
        for spelling, name in self.spellings:
            if spelling in shown:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")[:60]
                self.found.add((what, name, words.decode("utf-8", "replace")))


def _at_any_offset(encode: Callable[[bytes], bytes], data: bytes) -> Iterator[bytes]:
    """Yield what base64 of the data looks like at each of the three places it can have in other data."""
    for offset in range(3):
        coded = encode(b"\0" * offset + data)
        yield coded[-(-8 * offset // 6) : 8 * (offset + len(data)) // 6]


def _unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the data, and whatever is packed in it."""
    yield name, data
    if data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, binascii.Error):
            yield from _unpacked(f"{name}|gz", gzip.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for each in archive.namelist():
                yield from _unpacked(f"{name}|{each}", archive.read(each))
    elif data[:4] == b"PAR1":
        import polars as pl  # noqa: PLC0415  (the analysis extra's)

        yield f"{name}|rows", pl.read_parquet(io.BytesIO(data)).write_ndjson().encode()
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            # A link says its name in the archive's own bytes, and what it leads to may lie elsewhere.
            for member in (each for each in archive if each.isreg()):
                stream = archive.extractfile(member)
                if stream is not None:
                    yield from _unpacked(f"{name}|{member.name}", stream.read())
