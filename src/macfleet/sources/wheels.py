"""Wheels of the load client, fetched by pip and held against a lock of hashes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

LIMIT = 300.0

Pip = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """A wheel of the lock: its file name carries the Python and the platforms it is built for."""

    requirement: str
    name: str
    sha256: str

    @property
    def python(self) -> str:
        """The Python tag, such as ``cp313``."""
        return self.name.split("-")[2]

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags as pip names them."""
        return tuple(self.name.removesuffix(".whl").split("-")[4].split("."))

    @property
    def system(self) -> str:
        """The platform as `sys.platform` and `platform.machine()` name it, such as ``darwin-arm64``."""
        tag = self.platforms[0]
        machine = next(name for name in ("arm64", "aarch64", "x86_64") if tag.endswith(name))
        return f"{'darwin' if tag.startswith('macosx') else 'linux'}-{machine}"


def read_lock(text: str) -> tuple[LockedWheel, ...]:
    """Return the wheels of a lock, in its order."""
    requirement = ""
    wheels = []
    for line in text.splitlines():
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        if len(fields) == 1:
            requirement = fields[0]
        else:
            wheels.append(LockedWheel(requirement, fields[1], fields[0]))
    return tuple(wheels)


def ensure_wheels(wheels: Sequence[LockedWheel], folder: Path, pip: Pip | None = None) -> None:
    """Make `folder` hold every wheel of the lock, verified; only what is missing is fetched.

    Raises:
        MacfleetError: E0908 with every wheel that could not be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    for wheel in wheels:
        if is_intact(wheel, folder):
            continue
        said = _fetch(wheel, folder, pip or _pip)
        if not is_intact(wheel, folder):
            problems.append(_missing(wheel, said))
    if problems:
        raise MacfleetError(problems)


def is_intact(wheel: LockedWheel, folder: Path) -> bool:
    """Whether `folder` holds the wheel with the hash of the lock."""
    path = folder / wheel.name
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256


def _fetch(wheel: LockedWheel, folder: Path, pip: Pip) -> str:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        locked = Path(scratch) / "requirements.txt"
        locked.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        # The hash admits one file alone, so pip picks it whatever else the index has for the platform.
        arguments = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        arguments += ["--implementation", "cp", "--python-version", wheel.python.removeprefix("cp")]
        for tag in wheel.platforms:
            arguments += ["--platform", tag]
        arguments += ["--dest", scratch, "--requirement", str(locked)]
        try:
            ended = pip(arguments)
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        fetched = Path(scratch) / wheel.name
        if fetched.is_file():
            fetched.replace(folder / wheel.name)
        return ended.stderr.strip()


def _pip(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, check=False, env=environment
    )


def _missing(wheel: LockedWheel, said: str) -> Diagnostic:
    last = said.splitlines()[-1] if said else "pip fetched another file"
    return Diagnostic(
        "E0908",
        f"the load client's wheel {wheel.name} cannot be had: {last}",
        "The load client travels to nodes with libraries for each Python and platform, pinned by hash.",
        f"Let pip reach a package index, or put the file with sha256 {wheel.sha256} into the wheel cache.",
        exit_code=ExitCode.USAGE,
    )
