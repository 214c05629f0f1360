"""What a node keeps of images: those in its engine, who uses them, and parts that lie on its disk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from macfleet.model.json import Json
from macfleet.model.resource import ProbeOutput
from macfleet.model.shell import quote, words

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"sha256-([0-9a-f]{64})")
_PART = re.compile(
    r"(?:sha256|frame)-[0-9a-f]{64}|\.(?:sha256|frame)-[0-9a-f]{64}\.[0-9a-f]{16}\.part(?:\.pid)?"
    r"|kept-[0-9A-Za-z-]+|stage\.[0-9A-Za-z]+"
)
_FOLDER = '"$HOME/.macfleet/blobs"'
_ROW = '{"id":{{json .Id}},"tags":{{json .RepoTags}},"digests":{{json .RepoDigests}},"size":{{json .Size}}}'
_USED = '{"image":{{json .Image}},"wanted":{{json .Config.Image}},"name":{{json .Name}}}'


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of an engine.

    Attributes:
        id: digest of index, manifest or config, by the kind of store.
        names: what it can be removed by: its tags; without one its references by digest.
        repositories: of all its names, sorted; digests: everything that its names and its id say it is.
        size: bytes, as the engine counts them.
        users: names of containers made from it, running or not.
    """

    id: str
    names: tuple[str, ...]
    repositories: tuple[str, ...]
    digests: frozenset[str]
    size: int
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageStore:
    """An engine's images, the largest first, and what lies beside it of others: bytes on disk by name.

    That is parts, halves of parts, and folders that joins and relays left; see `part_of`.
    """

    images: tuple[StoredImage, ...]
    parts: Mapping[str, int]


def store_script() -> str:
    """Return POSIX sh that prints every image, every container's image and every part, a line each."""
    return f"""set -e
docker image ls --quiet --no-trunc | sort -u | while read -r id; do
  docker image inspect --format {quote("image " + _ROW)} "$id"
done
docker container ls --all --quiet --no-trunc | while read -r id; do
  docker container inspect --format {quote("used " + _USED)} "$id" 2>/dev/null || :
done
[ -d {_FOLDER} ] || exit 0
cd {_FOLDER}
for part in sha256-* frame-* .sha256-* .frame-* kept-* stage.*; do
  [ ! -e "$part" ] || printf 'part %s %s\\n' "$part" "$(du -sk "$part" | cut -f 1)"
done
"""


def parse_store(output: ProbeOutput) -> ImageStore:
    """Read what `store_script` printed (raises ValueError for anything else)."""
    if output.exit != 0:
        raise ValueError(output.stderr.strip()[-300:] or f"exit status {output.exit}")
    rows: list[Mapping[str, Json]] = []
    used: list[tuple[str, str, str]] = []
    parts: dict[str, int] = {}
    for line in output.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word == "image":
            rows.append(_object(rest))
        elif word == "used":
            found = _object(rest)
            used.append((_text(found, "image"), _text(found, "wanted"), _text(found, "name").lstrip("/")))
        elif word == "part":
            name, _, size = rest.partition(" ")
            if not _PART.fullmatch(name) or not size.isdecimal():
                raise ValueError(f"no part of an image: {rest!r}")
            parts[name] = int(size) * 1024
        elif line.strip():
            raise ValueError(f"not understood: {line[:200]!r}")
    images = sorted((_image(row, used) for row in rows), key=lambda image: (-image.size, image.id))
    return ImageStore(tuple(images), parts)


def removal_script(names: Sequence[str], parts: Sequence[str]) -> str:
    """Return POSIX sh that removes images by their names and parts; prints ``gone NAME`` for each image name.

    Nothing is forced: an engine that finds a container of an image keeps it, and says why on stderr.
    """
    lines = [
        f"docker image rm {quote(name)} </dev/null >/dev/null && echo {quote('gone ' + name)}"
        for name in names
    ]
    swept = f"[ ! -d {_FOLDER} ] || {{ cd {_FOLDER} && rm -rf {words(parts)}; }}" if parts else ":"
    return "\n".join([*lines, swept, ""])


def part_of(name: str) -> str:
    """Return the part that a file of `ImageStore.parts` is, or is half of; other things are what they are."""
    return name.removeprefix(".").partition(".")[0] if name.startswith(".") else name


def _image(row: Mapping[str, Json], used: Sequence[tuple[str, str, str]]) -> StoredImage:
    identity = _text(row, "id")
    if not _DIGEST.fullmatch(identity):
        raise ValueError(f"no digest: {identity!r}")
    tags = [name for name in _texts(row, "tags") if not name.endswith(":<none>")]
    pinned = [name for name in _texts(row, "digests") if not name.startswith("<none>")]
    size = row.get("size")
    if isinstance(size, bool) or not isinstance(size, int):
        raise ValueError(f"no size in bytes: {size!r}")  # noqa: TRY004 (callers take ValueError)
    tagged = {name.rpartition(":") for name in tags}
    named = {f"sha256:{found[1]}" for _, _, tag in tagged if (found := _TAG.fullmatch(tag))}
    digests = {identity, *(name.rpartition("@")[2] for name in pinned), *named}
    repositories = {name.rpartition("@")[0] for name in pinned} | {name for name, _, _ in tagged}
    own = {identity, *tags, *pinned}
    users = {name for image, wanted, name in used if image in digests or wanted in own}
    return StoredImage(
        identity,
        tuple(tags or pinned),
        tuple(sorted(repositories)),
        frozenset(digests),
        size,
        tuple(sorted(users)),
    )


def _object(text: str) -> Mapping[str, Json]:
    try:
        found: Json = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {text[:200]!r}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"no JSON object: {text[:200]!r}")  # noqa: TRY004 (callers take ValueError)
    return found


def _text(row: Mapping[str, Json], key: str) -> str:
    found = row.get(key)
    if not isinstance(found, str):
        raise ValueError(f"{key} is no text: {found!r}")  # noqa: TRY004 (callers take ValueError)
    return found


def _texts(row: Mapping[str, Json], key: str) -> list[str]:
    found = row.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{key} is no list of texts: {found!r}")
    return [str(each) for each in found]
