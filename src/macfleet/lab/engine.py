"""The outer Docker Engine: used where one answers, else installed from Debian and started by the lab."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from macfleet.lab.docker import Docker, find_docker
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

Report = Callable[[str], None]
# One engine serves every lab of the machine, so its record is the machine's, not a lab's.
RUN_DIR = Path("/run/macfleet-lab")
_PACKAGES = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "iptables": "iptables",
}
_START_SECONDS = 60.0
_PID_FILE = Path("/var/run/docker.pid")


def ensure_engine(report: Report) -> Docker:
    """Return a client whose engine answers, installing and starting one if need be.

    Raises:
        MacfleetError: no engine answers and this is not a Debian machine with root.
    """
    docker = find_docker()
    answers = docker is not None and docker.answers()
    lacking = ["mmdebstrap"] if answers else sorted(_PACKAGES)
    missing = sorted({_PACKAGES[program] for program in lacking if not _program(program)})
    if (missing or not answers) and (os.geteuid() != 0 or not _program("apt-get")):
        raise MacfleetError(_cannot_help_itself(answers=answers))
    if missing:
        _install(missing, report)
        docker = find_docker()
    if docker is None:
        raise AssertionError("docker.io is installed and brings /usr/bin/docker")
    if not docker.answers():
        _start(docker, report)
    return docker


def stop_engine(docker: Docker, report: Report) -> bool:
    """Stop the engine if the lab started it and nothing else runs in it; return whether it did."""
    pid = _recorded_pid()
    if pid is None:
        return False
    if docker.answers() and docker.run("ps", "-q"):
        report("the Docker Engine stays: other containers run in it")
        return False
    report("stopping the Docker Engine the lab started")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(RUN_DIR, ignore_errors=True)
    return True


def _cannot_help_itself(*, answers: bool) -> Diagnostic:
    what = "mmdebstrap is not installed" if answers else "no Docker Engine answers here"
    return Diagnostic(
        "E0911",
        what,
        why="The lab installs and starts what it needs only as root on a Debian machine.",
        mend="apt-get install mmdebstrap"
        if answers
        else "start a Docker Engine, or as root: macfleet lab up",
        exit_code=ExitCode.INTERNAL,
    )


def _install(missing: list[str], report: Report) -> None:
    report(f"installing {', '.join(missing)} from Debian")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A freshly installed service must not start beside the engine the lab starts itself.
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(command, env=env, capture_output=True, check=False)
        if done.returncode and command[1] == "install":
            raise MacfleetError(
                Diagnostic(
                    "E0912",
                    f"Debian's packages could not be installed: {' '.join(missing)}",
                    why=done.stderr.decode(errors="replace").strip()[-600:],
                    mend=f"apt-get install {' '.join(missing)}",
                    exit_code=ExitCode.INTERNAL,
                )
            )


def _start(docker: Docker, report: Report) -> None:
    report("starting a Docker Engine")
    RUN_DIR.mkdir(parents=True, exist_ok=True)
    log = RUN_DIR / "dockerd.log"
    with log.open("ab") as out:
        # A session of its own, and no child of this command: it outlives it.
        subprocess.run(
            ["setsid", "--fork", _program("dockerd") or "dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            check=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    seen = False
    while not docker.answers():
        pid = _pid_in(_PID_FILE)
        ended = seen and pid is None
        seen = seen or pid is not None
        if ended or time.monotonic() > deadline:
            raise MacfleetError(
                Diagnostic(
                    "E0913",
                    "the Docker Engine did not start",
                    why=log.read_text(errors="replace")[-800:],
                    mend=f"read {log}",
                    exit_code=ExitCode.INTERNAL,
                )
            )
        time.sleep(0.1)
    (RUN_DIR / "dockerd.pid").write_text(str(_pid_in(_PID_FILE) or ""))


def _program(name: str) -> str | None:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")


def _recorded_pid() -> int | None:
    return _pid_in(RUN_DIR / "dockerd.pid")


def _pid_in(file: Path) -> int | None:
    """The process a file names, if it is a Docker Engine."""
    try:
        pid = int(file.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if name == "dockerd" else None


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"
