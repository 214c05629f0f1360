"""Why the load client did not run at a vantage, and what to do about it."""

from __future__ import annotations

from macfleet.executors import vantage_scripts as scripts
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.load import Vantage
from macfleet.model.node import Node
from macfleet.model.ports import Completed

_TOLD = 300
# docker's own exit codes: the daemon refused, the command cannot run, the command is not in the image.
_DOCKER = {125, 126, 127}


def failed(node: Node, vantage: Vantage, ended: Completed, image: str) -> MacfleetError:
    """Return the error for a client that ended with a status other than 0."""
    told = _last_words(ended.stderr)
    if vantage is Vantage.IN_CONTAINER and ended.exit in _DOCKER:
        return MacfleetError(_no_container(node, told, image))
    if ended.exit == scripts.NO_PYTHON:
        return MacfleetError(_no_python(node))
    if ended.exit == scripts.DOES_NOT_FIT:
        return MacfleetError(_does_not_fit(node, told))
    if ended.exit in {scripts.DAMAGED, scripts.NOT_INSTALLED}:
        return MacfleetError(_not_installed(node, told))
    return MacfleetError(
        _finding(
            node,
            "E0905",
            f"the load client ended with status {ended.exit}: {told or 'no word'}",
            "A segment counts only when its client ended well.",
            "Run the stage again; with -v it says more.",
        )
    )


def missing_setting(node: Node, name: str, value: str) -> Diagnostic:
    """Return the finding that a setting of the in-container vantage is missing or not pinned."""
    said = f"is not pinned by digest: {value}" if value else "is not set"
    return Diagnostic(
        "E0904",
        f"{name} {said}",
        "The load client enters a container's network by an image pinned by digest, so that its Python is"
        " part of the evidence.",
        f"Set {name} in group_vars"
        + (" to NAME@sha256:…, an image with Python 3.11 or newer." if name.endswith("image") else "."),
        node=node.name,
    )


def _no_python(node: Node) -> Diagnostic:
    return _finding(
        node,
        "E0902",
        "there is no Python for the load client on the node",
        "The load client runs on Homebrew's Python, or on a standalone one; Apple's is too old.",
        "Add `python@3.13` to the node's brew formulas and run `macfleet apply`, or set `python` in"
        " host_vars to an absolute path.",
    )


def _does_not_fit(node: Node, told: str) -> Diagnostic:
    return _finding(
        node,
        "E0903",
        f"the load client does not run on this Python: {told}",
        "Its archive carries libraries for CPython 3.11 to 3.14 on macOS arm64 and Linux arm64 and x86_64.",
        "Install another Python, or set `python` (on the node) or `loadgen_image` (in the container).",
    )


def _no_container(node: Node, told: str, image: str) -> Diagnostic:
    return _finding(
        node,
        "E0904",
        f"the load client's container did not start: {told or 'docker gave no reason'}",
        f"It runs as {image} in the network of the engine's container; nothing is pulled at that moment.",
        "Run `macfleet rollout stage2` so that the image is on the node, stage3 so that the engine runs.",
    )


def _not_installed(node: Node, told: str) -> Diagnostic:
    return _finding(
        node,
        "E0907",
        "the load client could not be put on the node" + (f": {told}" if told else ""),
        "Its archive arrived damaged, or ~/macfleet/loadgen cannot be written.",
        "Check free space and permissions below ~/macfleet, then run the stage again.",
    )


def _finding(node: Node, code: str, summary: str, why: str, mend: str) -> Diagnostic:
    return Diagnostic(code, summary, why, mend, node=node.name, exit_code=ExitCode.NODE_FAILED)


def _last_words(stderr: bytes) -> str:
    """Return the last line of untrusted output, printable and short."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    shown = "".join(sign if sign.isprintable() else "?" for sign in (lines[-1] if lines else ""))
    return shown[:_TOLD]
