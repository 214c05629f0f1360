"""How weights lie on a node: folders, Hugging Face caches, signatures, and what is wrong with a cache.

A cache has ``models--ORG--NAME/refs/REF`` (a file with a commit), ``snapshots/COMMIT/PATH`` (links) and
``blobs/ETAG``: files whose name is their SHA-256 (large ones) or their git blob SHA-1 (small ones). All of
it is verified without a network: against the commit in the locked paths and the SHA-256 of weights.lock.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.facts.model_signature import SIGNATURE, SIGNATURE_LIMIT
from macfleet.model.resource import ProbeOutput, State
from macfleet.model.shell import words

_CACHED = re.compile(r"(?P<root>.*/models--[^/]+)/snapshots/(?P<revision>[^/]+)/(?P<name>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"cache": 3, "absent": 1, "ref": 3, "link": 5, "file": 3, "folder": 2, "signature": 2}
# The SHA-1 of a git blob is taken of its length too; files of a cache that have such a name are small.
_SCRIPT = """\
cache() {{
  printf 'cache\\t%s\\t%s\\n' "$1" "$2"
  cd "$1/snapshots/$2" 2>/dev/null || {{ echo absent; return; }}
  (cd ../../refs 2>/dev/null && find . -type f) | while IFS= read -r ref; do
    printf 'ref\\t%s\\t%s\\n' "${{ref#./}}" "$(head -c 80 "../../refs/$ref")"
  done
  find . ! -type d | while IFS= read -r entry; do
    if [ -L "$entry" ]; then
      to=$(readlink "$entry"); size=missing; sum=-
      if [ -f "$entry" ]; then
        size=$(($(wc -c <"$entry"))); base=${{to##*/}}
        if [ ${{#base}} = 40 ] && [ "$size" -le {small} ]; then
          sum=$({{ printf 'blob %s\\0' "$size"; cat "$entry"; }} | shasum -a 1 | cut -d ' ' -f 1)
        fi
      fi
      printf 'link\\t%s\\t%s\\t%s\\t%s\\n' "${{entry#./}}" "$to" "$size" "$sum"
    else
      printf 'file\\t%s\\t-\\n' "${{entry#./}}"
    fi
  done
}}
folder() {{
  printf 'folder\\t%s\\n' "$1"
  if [ -f "$1/{signature}" ]; then
    printf 'signature\\t'; head -c {limit} "$1/{signature}" | base64 | tr -d '\\n'; echo
  fi
}}
"""
_SMALL = 16 * 2**20


@dataclass(frozen=True, slots=True)
class CachedFile:
    """Where a locked path lies in a cache: its model's folder, commit and name inside the snapshot."""

    root: str
    revision: str
    name: str


@dataclass(slots=True)
class Snapshot:
    """What a node holds of one commit of one model.

    Attributes:
        present: whether the snapshot is there.
        refs: what each ref says.
        links: target, size in bytes (None when it leads nowhere) and git SHA-1 of each link; the SHA-1 is
            empty where the target's name is none.
        files: entries that are no links.
    """

    present: bool = True
    refs: dict[str, str] = field(default_factory=dict)
    links: dict[str, tuple[str, int | None, str]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Holdings:
    """Snapshots by model folder and commit, and base64 of each model folder's signature (empty: none)."""

    snapshots: dict[tuple[str, str], Snapshot] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)


def cached_file(path: str) -> CachedFile | None:
    """Return where a path lies in a Hugging Face cache; None when it lies in none."""
    found = _CACHED.fullmatch(path)
    return CachedFile(found["root"], found["revision"], found["name"]) if found else None


def model_folder(path: str) -> str:
    """Return the folder a signature covers: the snapshot of a cached file, else the file's own folder."""
    cached = cached_file(path)
    return f"{cached.root}/snapshots/{cached.revision}" if cached else posixpath.dirname(path)


def holdings_script(paths: Sequence[str]) -> str:
    """Return POSIX sh that prints how these weights lie, with the tools of a stock macOS; changes nothing."""
    if not paths:
        return ":"
    caches = sorted({(c.root, c.revision) for path in paths if (c := cached_file(path))})
    folders = sorted({model_folder(path) for path in paths})
    lines = [f"(cache {words(each)})" for each in caches] + [f"folder {words([each])}" for each in folders]
    head = _SCRIPT.format(small=_SMALL, signature=SIGNATURE, limit=SIGNATURE_LIMIT + 1)
    return head + "\n".join(lines)


def parse_holdings(output: ProbeOutput) -> State:
    """Return the printed lines (raises ValueError for one the script cannot have printed)."""
    lines = tuple(output.stdout.splitlines())
    read_holdings(lines)
    return {"lines": lines}


def read_holdings(lines: Sequence[str]) -> Holdings:
    """Return what the lines say (raises ValueError as `parse_holdings`)."""
    found = Holdings()
    snapshot, folder = Snapshot(), ""
    for line in lines:
        kind, *rest = line.split("\t")
        if _FIELDS.get(kind) != len(rest) + 1:
            raise ValueError(f"unexpected line {line[:80]!r}")
        if kind == "cache":
            snapshot = found.snapshots.setdefault((rest[0], rest[1]), Snapshot())
        elif kind == "folder":
            folder = rest[0]
            found.signatures[folder] = ""
        elif kind == "signature":
            found.signatures[folder] = rest[0]
        else:
            _read_entry(snapshot, kind, rest)
    return found


def _read_entry(snapshot: Snapshot, kind: str, rest: Sequence[str]) -> None:
    if kind == "absent":
        snapshot.present = False
    elif kind == "ref":
        snapshot.refs[rest[0]] = rest[1]
    elif kind == "file":
        snapshot.files.add(rest[0])
    else:
        size = int(rest[2]) if rest[2] != "missing" else None
        snapshot.links[rest[0]] = (rest[1], size, rest[3].strip("-"))


def cache_faults(
    where: CachedFile, snapshot: Snapshot, locked: Mapping[str, tuple[int, str]], ignored: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with a commit of a model in a cache.

    Args:
        where: the model's folder and commit; the name plays no part.
        snapshot: what the node holds of it.
        locked: size and hex SHA-256 by name, as weights.lock has them.
        ignored: names that need not be locked.
    """
    place = f"{where.root}/snapshots/{where.revision}"
    if not _COMMIT.fullmatch(where.revision):
        yield f"{place}: {where.revision} is no commit, so what it holds may change"
    if not snapshot.present:
        yield f"{place} is missing"
        return
    head = snapshot.refs.get("main", where.revision)
    if head != where.revision:
        yield f"{where.root}/refs/main says {head[:12]}, pinned is {where.revision[:12]}"
    entries = {*snapshot.links, *snapshot.files}
    for name in sorted(entries - set(locked) - set(ignored)):
        yield f"{place}/{name} is not in weights.lock, an engine would load it"
    for name in sorted(locked):
        if name in snapshot.links:
            fault = _link_fault(name, snapshot.links[name], *locked[name])
        else:
            fault = "" if name in snapshot.files else "is missing"
        if fault:
            yield f"{place}/{name} {fault}"


def _link_fault(name: str, link: tuple[str, int | None, str], size: int, sha256: str) -> str:
    target, found, git_sha1 = link
    folder, blob = posixpath.split(posixpath.normpath(posixpath.join(posixpath.dirname(name) or ".", target)))
    if folder != "../../blobs" or not (_SHA256.fullmatch(blob) or _COMMIT.fullmatch(blob)):
        return f"leads to {target}, which is no blob of this model"
    if found is None:
        return f"leads to blob {blob[:12]}, which is missing"
    if found != size:
        return f"has {found} bytes, weights.lock says {size}"
    if _SHA256.fullmatch(blob):
        return "" if blob == sha256 else f"is blob {blob[:12]}, weights.lock says {sha256[:12]}"
    if git_sha1 == blob:
        return ""
    return f"is not its blob {blob[:12]}" if git_sha1 else f"has the name of a small file, but {found} bytes"
