"""What layers of an image hold, and what of it has no place in the image of a node."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from macfleet.facts.gguf import MAGIC
from macfleet.facts.model_bytes import shown
from macfleet.facts.safetensors import looks_like_safetensors
from macfleet.facts.scan_packages import Package, is_apk, is_dpkg, packages_in
from macfleet.model.quantity import show_bytes

# e_machine of the ELF specification → architecture as images call it.
_MACHINES = {
    3: "386",
    21: "ppc64le",
    22: "s390x",
    40: "arm",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
    258: "loong64",
}
_PROGRAMS = (2, 3)  # e_type: executables and shared objects; relocatable ones are run by nobody
# Vocabularies for tests are GGUF files of a few hundred KB, and no weights.
_LEAST_WEIGHTS = 2**20
# Distroless images list a package a file, over several layers; other databases list all of them at once.
_PARTS = "dpkg parts"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Program:
    """An ELF program or shared library: its path in the layer and its architecture."""

    path: str
    architecture: str


@dataclass(frozen=True, slots=True)
class LayerContents:
    """What was found in one layer, whatever later layers hide of it.

    Attributes:
        digest: of the compressed layer.
        files: regular files; size: their bytes together.
        programs: architectures of ELF programs with how many there are.
        samples: at most five programs of each architecture.
        weights: path, format and size of model files, as words.
        packages: installed packages of the package databases in this layer, by database.
        installed: the same by name, by the path of their database; those of rpm are not read.
        system: what os-release in this layer says, such as ``debian 12``.
    """

    digest: str
    files: int
    size: int
    programs: dict[str, int]
    samples: tuple[Program, ...]
    weights: tuple[str, ...]
    packages: dict[str, int]
    installed: dict[str, tuple[Package, ...]]
    system: str


def program_architecture(head: bytes) -> str:
    """Return the architecture of an ELF program or shared library by its first 20 bytes; empty for others."""
    if len(head) < 20 or head[:4] != b"\x7fELF" or head[5] not in (1, 2):
        return ""
    kind, machine = struct.unpack_from("<HH" if head[5] == 1 else ">HH", head, 16)
    if kind not in _PROGRAMS:
        return ""
    name = _MACHINES.get(machine, f"ELF machine {machine}")
    return name if head[5] == 1 or name == "s390x" else f"{name} (big-endian)"


def weights_kind(head: bytes, size: int) -> str:
    """Return the format of a model file by its first bytes; empty for everything else and small files."""
    if size < _LEAST_WEIGHTS:
        return ""
    if head.startswith(MAGIC):
        return "GGUF"
    if looks_like_safetensors(head, size):
        return "safetensors"
    if head.startswith(b"PK\x03\x04") and b"/data.pkl" in head:
        return "PyTorch"
    return ""


def installed_packages(path: str, text: bytes) -> tuple[str, tuple[Package, ...]] | None:
    """Return a package database's name and what it has installed; None for other files."""
    if is_dpkg(path):
        return _PARTS if "status.d/" in path else "dpkg", packages_in(path, text)
    if is_apk(path):
        return "apk", packages_in(path, text)
    return None


def is_package_database(path: str) -> bool:
    """Whether `installed_packages` wants the text of this file."""
    return installed_packages(path, b"") is not None


def contents_faults(
    platform: str, layers: Sequence[LayerContents], allow: Sequence[str] = ()
) -> Iterator[str]:
    """Yield what of an image's layers has no place on a node of `platform`.

    `allow` are patterns of paths that may be programs of another architecture.
    """
    wanted = platform.split("/")[1] if "/" in platform else platform
    for layer in layers:
        short = layer.digest[:19]
        for words in layer.weights:
            yield f"layer {short} holds weights: {words}; they are placed on nodes apart from images"
        for architecture, count in sorted(layer.programs.items()):
            paths = [each.path for each in layer.samples if each.architecture == architecture]
            named = [path for path in paths if not any(fnmatchcase(path, pattern) for pattern in allow)]
            # A few paths are kept of each: where all of them are allowed and there are more, nobody knows.
            if architecture != wanted and (named or count > len(paths)):
                example = shown((named or paths)[0])
                yield f"layer {short} holds {count} programs for {architecture}, not {wanted}: {example}"


def contents_words(layers: Sequence[LayerContents]) -> str:
    """Return size, files, packages and programs of an image in one line."""
    packages: dict[str, int] = {}
    for layer in layers:
        for name, count in layer.packages.items():
            packages[name] = count + (packages.get(name, 0) if name == _PARTS else 0)
    if parts := packages.pop(_PARTS, 0):
        packages["dpkg"] = packages.get("dpkg", 0) + parts
    programs = sorted({architecture for layer in layers for architecture in layer.programs})
    words = [
        f"{show_bytes(sum(layer.size for layer in layers))} unpacked",
        f"{sum(layer.files for layer in layers)} files",
        *(f"{count} {name} packages" for name, count in sorted(packages.items())),
        f"programs for {', '.join(programs)}" if programs else "no native programs",
    ]
    return " · ".join(words)


def all_packages(layers: Sequence[LayerContents]) -> tuple[Package, ...]:
    """Return the packages of an image: of each database what its last layer says, sorted."""
    last = {path: packages for layer in layers for path, packages in layer.installed.items()}
    return tuple(sorted({package for packages in last.values() for package in packages}))


def system_name(layers: Sequence[LayerContents]) -> str:
    """Return what the last layer with an os-release says, such as ``debian 12``; empty where none has one."""
    return next((layer.system for layer in reversed(layers) if layer.system), "")


def samples_of(programs: Sequence[Program]) -> tuple[Program, ...]:
    """Return the first programs of each architecture, as many as a report keeps."""
    kept: list[Program] = []
    for each in programs:
        if sum(known.architecture == each.architecture for known in kept) < _SHOWN:
            kept.append(each)
    return tuple(kept)
