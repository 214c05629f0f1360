"""What a node's container and bare arm would run as, in comparable lines: Compose file, mounts, flags."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

import yaml

from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.resource import Resource
from macfleet.model.stage import StageName
from macfleet.resources import local_name
from macfleet.resources.colima_instance import ColimaInstance
from macfleet.resources.compose_project import ComposeProject
from macfleet.resources.file import File
from macfleet.resources.launchd_service import LaunchdService
from macfleet.rollout.desired import Desired

Line = tuple[str, str]
_SECRET = re.compile(r"passw|secret|credential|api_?key|(^|[-_])(token|key)($|[-_])", re.IGNORECASE)
_VALUE = re.compile(r"^-?\d")
"""What begins so is the value of a flag, though it may begin with a dash."""


def shape(node: Node, desired: Desired) -> Mapping[str, str]:
    """Return value by name of everything that is to be the same in two environments.

    Names are ``compose.SERVICE.KEY…``, ``mounts.SERVICE.TARGET``, ``mounts.vm.ROOT``, ``engine.SERVICE.FLAG``
    and ``engine.bare.FLAG``. Images are named as images.lock names them: their digests are what a promotion
    changes. Values of variables and flags that look like secrets are told apart by a hash and never shown.

    Raises:
        MacfleetError: what does not compile.
    """
    layout = desired.compile(StageName.LAYOUT, node).resources
    site = desired.compile(StageName.PROVISION, node).resources
    lines = (*_projects(layout, _names(node, desired)), *_vm(site, node), *_bare(site, node))
    return {name: _shown(name, value) for name, value in sorted(lines)}


def _names(node: Node, desired: Desired) -> Mapping[str, str]:
    """Return what images.lock calls an image by what the Compose file calls it, pulled or pushed."""
    images = desired.images(node).items()
    return {way: name for name, image in images for way in (image.pinned, local_name(image))}


def _projects(resources: Sequence[Resource], names: Mapping[str, str]) -> Iterator[Line]:
    files = {each.path: each for each in resources if isinstance(each, File)}
    for project in (each for each in resources if isinstance(each, ComposeProject) and not each.absent):
        document = yaml.safe_load(_text(files.get(project.file)))
        for key, value in document.items() if isinstance(document, Mapping) else ():
            if key != "services":
                yield from _flat(f"compose.{key}", value)
        for name, body in (document.get("services") or {}).items():
            yield from _service(str(name), body, files, names)


def _service(
    name: str, body: Mapping[str, Json], files: Mapping[str, File], names: Mapping[str, str]
) -> Iterator[Line]:
    for key, value in body.items():
        if key == "image":
            yield f"compose.{name}.image", names.get(str(value), str(value))
        elif key == "volumes":
            yield from (_volume(name, each) for each in _listed(value))
        elif key == "command":
            yield from _flags(f"engine.{name}", _words(value))
        elif key == "environment":
            yield from _variables(name, _pairs(value))
        elif key == "env_file":
            for path in _listed(value):
                text = _text(files.get(str(path)))
                yield from _variables(name, _pairs([line for line in text.splitlines() if "=" in line]))
        else:
            yield from _flat(f"compose.{name}.{key}", value)


def _volume(service: str, volume: Json) -> Line:
    if isinstance(volume, Mapping):
        kind, source, target = (str(volume.get(key) or "") for key in ("type", "source", "target"))
        read_only = bool(volume.get("read_only"))
    else:
        source, _, rest = str(volume).partition(":")
        target, _, mode = rest.partition(":")
        kind, read_only = (
            ("bind" if source.startswith(("/", ".", "~")) else "volume"),
            "ro" in mode.split(","),
        )
    return f"mounts.{service}.{target}", f"{kind} {source}{' read-only' if read_only else ''}"


def _vm(resources: Sequence[Resource], node: Node) -> Iterator[Line]:
    """What the VM sees of the node; a root is named by what it is for, so that two paths are one line."""
    roots = node.roots
    known = {} if roots is None else {roots.weights: "weights", roots.cache: "cache", roots.logs: "logs"}
    for instance in (each for each in resources if isinstance(each, ColimaInstance)):
        yield "mounts.vm", instance.settings.mount_type
        for mount in instance.settings.mounts:
            location = mount.partition(":")[0]
            yield f"mounts.vm.{known.get(location, location)}", mount


def _bare(resources: Sequence[Resource], node: Node) -> Iterator[Line]:
    for service in (each for each in resources if isinstance(each, LaunchdService)):
        if service.absent or service.daemon.label != node.variables.get("bare_label"):
            continue
        program, *arguments = _words(service.daemon.settings.get("ProgramArguments"))
        yield "engine.bare.program", program
        yield from _flags("engine.bare", arguments)
        yield from _variables("bare", _pairs(service.daemon.settings.get("EnvironmentVariables")))


def _flags(prefix: str, words: Iterable[str]) -> Iterator[Line]:
    """Yield a line a flag with its values; what stands before the first flag is ``arguments``."""
    found: dict[str, list[str]] = {}
    flag = "arguments"
    for word in words:
        if word.startswith("-") and not _VALUE.match(word):
            flag, equals, value = word.partition("=")
            found.setdefault(flag, []).extend([value] if equals else [])
        else:
            found.setdefault(flag, []).append(word)
    yield from ((f"{prefix}.{name}", " ".join(values) or "set") for name, values in found.items())


def _variables(service: str, pairs: Mapping[str, str]) -> Iterator[Line]:
    yield from ((f"engine.{service}.env.{name}", value) for name, value in pairs.items())


def _shown(name: str, value: str) -> str:
    if name.startswith("mounts.") or not _SECRET.search(name.rpartition(".")[2]):
        return value
    return f"not shown ({hashlib.sha256(value.encode()).hexdigest()[:8]})"


def _flat(name: str, value: Json) -> Iterator[Line]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _flat(f"{name}.{key}", below)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _pairs(value: Json) -> dict[str, str]:
    """Return variables of a mapping, or of ``NAME=value`` lines."""
    if isinstance(value, Mapping):
        return {str(name): str(each) for name, each in value.items()}
    halves = (str(line).partition("=") for line in _listed(value))
    return {name: text for name, _, text in halves}


def _words(value: Json) -> list[str]:
    return shlex.split(value) if isinstance(value, str) else [str(each) for each in _listed(value)]


def _listed(value: Json) -> list[Json]:
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _text(file: File | None) -> str:
    """Return a file's text; empty for one that is not managed here or holds a secret."""
    content = b"" if file is None else file.content
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
