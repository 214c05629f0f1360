"""The Docker client as the lab uses it: one command, its answer, and an error that says what happened."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

# Distributions put their client here; another build may come first on PATH.
_PREFERRED = "/usr/bin/docker"


@dataclass(frozen=True, slots=True)
class Docker:
    """A Docker client; `program` is its path."""

    program: str

    def run(self, *arguments: str, stdin: bytes | None = None, timeout: float = 600) -> str:
        """Return the output of `docker ARGUMENTS…`.

        Raises:
            MacfleetError: the command failed; the diagnostic carries its last words.
        """
        done = self.attempt(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise MacfleetError(
                Diagnostic(
                    "E0910",
                    f"docker {arguments[0]} failed with status {done.returncode}",
                    why=done.stderr.decode(errors="replace").strip()[-800:],
                    mend="macfleet lab down, then macfleet lab up",
                    exit_code=ExitCode.INTERNAL,
                )
            )
        return done.stdout.decode(errors="replace").strip()

    def attempt(
        self, *arguments: str, stdin: bytes | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[bytes]:
        """Return the finished command whatever its status."""
        return subprocess.run(
            [self.program, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(Path.home()), "DOCKER_BUILDKIT": "0"},
        )

    def answers(self) -> bool:
        """Whether an engine answers this client."""
        return self.attempt("version", "--format", "{{.Server.Version}}", timeout=30).returncode == 0


def find_docker() -> Docker | None:
    """The client of this machine, or None."""
    program = _PREFERRED if Path(_PREFERRED).exists() else shutil.which("docker")
    return Docker(program) if program else None
