"""A Mac that is a folder: real shells run real scripts, and the node's programs and folders lie below it.

Programs come from the lab where a file is enough to imitate a Mac (`LAB`); those that need a kernel, a
supervisor or an engine are small stand-ins in ``programs/``. Absolute folders in `MOVED` are looked for
below the scratch folder. What a Mac lacks (`LACKING`) is not found.
"""

from __future__ import annotations

import hashlib
import re
import stat
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import macfleet.lab
from macfleet.engine.script import HOMEBREW_PATH
from macfleet.engine.steps import step_text
from macfleet.model.resource import ProbeOutput, Put, Run
from macfleet.model.shell import quote
from macfleet.testing import LocalTransport

PROGRAMS = Path(__file__).parent / "programs"
NODE = Path(macfleet.lab.__file__).parent / "node"
LAB = (
    "bsd/base64",
    "bsd/mktemp",
    "bsd/readlink",
    "bsd/sed",
    "brew/brew",
    "mac/pmset",
    "mac/newsyslog",
    "mac/crontab",
    "mac/defaults",
    "mac/git",
)
LACKING = ("timeout", "flock", "sha256sum", "md5sum", "tac", "setsid", "shuf", "wget", "getent", "nproc")
MOVED = ("/opt/homebrew", "/Library", "/etc")
FOLDERS = (
    "Library/LaunchDaemons",
    "etc/newsyslog.d",
    "etc/pf.anchors",
    "Users/ops/Library",
    "launchd",
    "limits",
    "disk",
    "pf",
    "var/db",
    "var/at/tabs",
)


@dataclass(slots=True)
class ScratchMac:
    """A blank Mac below `root`, whose scripts run under `shell`."""

    root: Path
    shell: tuple[str, ...] = ("/bin/sh",)
    programs: set[str] = field(default_factory=set)

    def __post_init__(self):
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True)
        self._install(self.root / "lab" / "stat", (NODE / "bsd" / "stat").read_text())
        for name in LACKING:
            self._program(name, f"#!/bin/sh\necho '{name}: command not found' >&2; exit 127\n")
        for path in (NODE / each for each in LAB):
            self._program(path.name, path.read_text())
        for path in PROGRAMS.iterdir():
            self._program(path.name, path.read_text())

    @property
    def home(self) -> Path:
        """The login's home."""
        return self.root / "Users" / "ops"

    def run(self, script: str, content: str = "") -> ProbeOutput:
        """Run a script as macfleet's own are run: Homebrew on PATH, the C locale, nothing on stdin.

        `content` takes the place of @CONTENT@ as it is: a path in a file's text is no path to be moved.
        """
        head = f"PATH={HOMEBREW_PATH}; export PATH; LC_ALL=C; export LC_ALL; umask 022"
        transport = LocalTransport(self.home, self.shell)
        text = self._moved(f"{{ {head}\n{script}\n}} </dev/null").replace("@CONTENT@", quote(content))
        done = transport.run(text, deadline=60.0)
        return ProbeOutput(done.exit, done.stdout.decode(), done.stderr.decode())

    def planned(self, resource):
        """Probe and compare."""
        probe = resource.probe()
        return resource.change(probe.parse(self.run(probe.script)))

    def carry_out(self, resource, change, streams=None):
        """Run every step of a change as the engine does; the first that fails is an error."""
        for step in resource.steps(change):
            if isinstance(step, Put) and step.content.isascii() and b"\0" not in step.content:
                done = self.run(step_text(replace(step, content=b"@CONTENT@")), step.content.decode())
            elif isinstance(step, Run | Put):
                done = self.run(step_text(step))
            else:
                transport = LocalTransport(self.home, self.shell)
                head = f"PATH={HOMEBREW_PATH}; export PATH; LC_ALL=C; export LC_ALL\n"
                script, stdin = self._moved(head + step.script), [streams[step.source]]
                ended = transport.run(script, deadline=60.0, stdin=stdin)
                done = ProbeOutput(ended.exit, ended.stdout.decode(), ended.stderr.decode())
            assert done.exit == 0, f"{step}\n{done.stdout}\n{done.stderr}"

    def snapshot(self) -> dict[str, tuple]:
        """Everything the Mac holds: type, mode, time of change, content or target by path."""
        return {str(path.relative_to(self.root)): _held(path) for path in sorted(self.root.rglob("*"))}

    def _moved(self, script: str) -> str:
        folders = "|".join(map(re.escape, MOVED))
        names = "|".join(map(re.escape, sorted(self.programs)))
        text = re.sub(rf"(?<![\w.}}-])({folders})(?![\w.-])", rf"{self.root}\1", script)
        place = self.root / "opt" / "homebrew" / "sbin"
        return re.sub(rf"(?<![\w.}}-])/(?:usr/)?s?bin/({names})(?![\w.-])", rf"{place}/\1", text)

    def _program(self, name: str, text: str) -> None:
        # brew itself is looked for where Homebrew has it; the rest only has to be found first on PATH
        place = "bin" if name == "brew" else "sbin"
        self._install(self.root / "opt" / "homebrew" / place / name, text)
        self.programs.add(name)

    def _install(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old, new in (
            ("@ROOT@", str(self.root)),
            ("@PYTHON@", sys.executable),
            ("/opt/linux-real/bin/", "/usr/bin/"),
            ("#!/opt/lab/python/bin/python3", f"#!{sys.executable} -SE"),
            ("/var/db", f"{self.root}/var/db"),
            ("/var/at", f"{self.root}/var/at"),
            ("/opt/lab", f"{self.root}/lab"),
            ('"/opt/homebrew"', f'"{self.root}/opt/homebrew"'),
            ("os.geteuid() == 0", "False"),
            ('"$(id -u)" = 0', "0 = 0"),
            ("$> == 0", "1"),
        ):
            text = text.replace(old, new)
        path.write_text(text)
        path.chmod(0o755)


def _held(path: Path) -> tuple:
    seen = path.lstat()
    content = ""
    if stat.S_ISREG(seen.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISLNK(seen.st_mode):
        content = str(path.readlink())
    return seen.st_mode, seen.st_mtime_ns, content
