"""Root file systems by mmdebstrap, cached by the digest of what they are made from."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from macfleet.lab.engine import Report
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote

SUITE = "trixie"
_TRIMMED = tuple(f"path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale"))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A root file system: its name, Debian packages, and a hook script run on the finished tree."""

    name: str
    packages: tuple[str, ...]
    hook: Path | None = None

    def digest(self) -> str:
        """SHA-256 over everything that shapes the result, apart from Debian's state that day."""
        parts = [SUITE, self.name, *self.packages, *_TRIMMED, self.hook.read_text() if self.hook else ""]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


NODE_PACKAGES = (
    "openssh-server",
    "openssh-client",
    "docker.io",
    "docker-compose",
    "docker-cli",
    "docker-registry",
    "iproute2",
    "iptables",
    "procps",
    "ca-certificates",
    "python3",
    "python3-yaml",
    "curl",
    "sudo",
    "zsh",
    "s6",
    "libgomp1",
    "libstdc++6",
    "lsof",
    "e2fsprogs",
    "perl",
    "net-tools",
    "libarchive-tools",
    "original-awk",
    "xxd",
    "bzip2",
    "less",
)
SLIM_PACKAGES = ("python3", "curl", "libgomp1", "libstdc++6", "ca-certificates", "haproxy")


def build_rootfs(recipe: Recipe, cache: Path, report: Report) -> Path:
    """Return the tar of `recipe`, built unless the cache has it.

    Raises:
        MacfleetError: mmdebstrap failed or the machine names no Debian mirror.
    """
    target = cache / f"{recipe.name}-{recipe.digest()[:16]}.tar"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    report(f"building the root file system '{recipe.name}' from Debian {SUITE}")
    fresh = target.with_suffix(".new.tar")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(recipe.packages)}"]
    command += [f"--dpkgopt={option}" for option in _TRIMMED]
    if recipe.hook:
        command.append(f'--customize-hook=sh {quote(str(recipe.hook))} "$1"')
    command += [SUITE, str(fresh), debian_mirror(_apt_sources())]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        fresh.unlink(missing_ok=True)
        raise MacfleetError(
            Diagnostic(
                "E0920",
                f"the root file system '{recipe.name}' could not be built",
                why=done.stderr.decode(errors="replace").strip()[-800:],
                mend="apt-get update shows whether Debian's packages are reachable",
                exit_code=ExitCode.INTERNAL,
            )
        )
    fresh.replace(target)
    return target


def debian_mirror(sources: Iterable[str]) -> str:
    """Return the first Debian mirror in the texts of apt's source files, of either format.

    Raises:
        MacfleetError: none of them names one.
    """
    for text in sources:
        for address, suites in [*_deb822(text), *_one_line(text)]:
            if "main" in suites and not any("security" in word for word in suites) and "debian" in address:
                return address
    raise MacfleetError(
        Diagnostic(
            "E0921",
            "the machine's apt configuration names no Debian mirror",
            why="The lab takes its packages from where the machine takes its own.",
            mend="add Debian to /etc/apt/sources.list.d",
            exit_code=ExitCode.INTERNAL,
        )
    )


def _apt_sources() -> list[str]:
    folder = Path("/etc/apt/sources.list.d")
    files = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
    return [file.read_text() for file in files if file.exists()]


def _deb822(text: str) -> list[tuple[str, list[str]]]:
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([\w-]+):\s*(.*)$", paragraph, re.MULTILINE))
        if "URIs" in fields and "deb" in fields.get("Types", "").split():
            words = [*fields.get("Suites", "").split(), *fields.get("Components", "").split()]
            found.append((fields["URIs"].split()[0], words))
    return found


def _one_line(text: str) -> list[tuple[str, list[str]]]:
    rows = re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(.*)$", text, re.MULTILINE)
    return [(address, rest.split()) for address, rest in rows]
