"""The image of a node: Debian's programs, a Mac's face, cached by the digest of its inputs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from macfleet.lab.docker import Docker
from macfleet.lab.engine import Report
from macfleet.lab.engines import LlamaServer, find_llama_server
from macfleet.lab.rootfs import NODE_PACKAGES, Recipe, build_rootfs
from macfleet.lab.weights import Weights

NODE_FILES = Path(__file__).parent / "node"
WEIGHTS_PATH = "/Users/ops/models/small-chat.gguf"
_IMAGE = "macfleet-lab-node"
_FOLDERS = ("bsd", "mac", "lab", "brew")


def node_image(docker: Docker, cache: Path, weights: Weights, report: Report) -> str:
    """Return the reference of the node image, built unless the engine has it."""
    recipe = Recipe("node", NODE_PACKAGES, NODE_FILES / "base.sh")
    llama = find_llama_server()
    reference = f"{_IMAGE}:{_digest(recipe, llama, weights)[:16]}"
    if _present(docker, reference):
        return reference
    base = f"{_IMAGE}-base:{recipe.digest()[:16]}"
    if not _present(docker, base):
        tar = build_rootfs(recipe, cache, report)
        report("importing the root file system")
        docker.run("import", str(tar), base)
    report("building the node image")
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch)
        _fill_context(context, base, llama, weights)
        docker.run("build", "--quiet", "--network", "none", "--tag", reference, str(context))
    _forget_older(docker, reference)
    return reference


def _forget_older(docker: Docker, reference: str) -> None:
    """Remove earlier node images that no container uses; the engine refuses the others."""
    listed = docker.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", _IMAGE).split()
    for older in listed:
        if older != reference:
            docker.attempt("image", "rm", older)


def _present(docker: Docker, reference: str) -> bool:
    return docker.attempt("image", "inspect", "--format", "{{.Id}}", reference).returncode == 0


def _fill_context(context: Path, base: str, llama: LlamaServer, weights: Weights) -> None:
    (context / "llama").mkdir()
    for name, path in llama.files.items():
        shutil.copy(path, context / "llama" / name)
        (context / "llama" / name).chmod(0o755)
    source = context / "src"
    source.mkdir()
    for folder in _FOLDERS:
        shutil.copytree(NODE_FILES / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(NODE_FILES / "personality.sh", source / "personality.sh")
    shutil.copy(weights.path, source / "weights.gguf")
    libexec = f"/opt/lab/cellar/llama.cpp/{llama.version}/libexec"
    (context / "Dockerfile").write_text(
        f"FROM {base}\n"
        f"COPY llama {libexec}/\n"
        "COPY src /opt/lab/src/\n"
        f'RUN ["/opt/linux-real/bin/env", "LLAMA_VERSION={llama.version}", '
        '"/opt/linux-real/bin/dash", "/opt/lab/src/personality.sh"]\n'
        'ENTRYPOINT ["/opt/lab/entry"]\n'
    )


def _digest(recipe: Recipe, llama: LlamaServer, weights: Weights) -> str:
    digest = hashlib.sha256()
    for part in (recipe.digest(), llama.digest(), weights.sha256):
        digest.update(part.encode() + b"\0")
    files = [NODE_FILES / "personality.sh"]
    for folder in _FOLDERS:
        files += sorted(
            path for path in (NODE_FILES / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"
        )
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
