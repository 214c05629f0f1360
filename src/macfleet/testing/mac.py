"""A node that is a folder: scripts really run under sh, and a Mac's programs are shell functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from macfleet.engine.job import FOLLOWING, SHELL
from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node
from macfleet.model.ports import Completed
from macfleet.model.shell import quote
from macfleet.testing.transport import LocalTransport

# Facts of a Mac mini; an engine is "running" while its port's file lies in the home.
PROGRAMS: Mapping[str, str] = {
    "sysctl": r"printf '15.5\n24F74\narm64\n25769803776\n10\nApple M4\nMac16,10\n'",
    "mount": "echo '/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)'",
    "curl": 'for url in "$@"; do :; done; port=${url##*:}; [ -f "$HOME/up.${port%%/*}" ]',
    # `stat -f FORMAT PATH…` as the file resources ask it: mode, owner, group, and the name where it is asked.
    "stat": """[ "$1" = -L ] && shift; case "$2" in *%N) name=" %n";; *) name=;; esac
  shift 2; command stat -c "0%a %U:%G$name" -- "$@\"""",
    "shasum": 'shift 2; sha256sum "$@"',
    "sudo": 'shift; "$@"',
    "launchctl": """case "$1" in bootout) rm -f "$HOME/up.8081";; print) [ -f "$HOME/up.8081" ];;
  *) : >"$HOME/up.8081";; esac""",
    "docker": """case " $* " in
  *" version "*) echo '29.0.0 linux/arm64';;
  *" ps "*) [ -f "$HOME/up.8080" ] && echo c0ffee; :;;
  *" stop "*|*" down "*) rm -f "$HOME/up.8080";;
  *" start "*|*" up "*) : >"$HOME/up.8080";;
esac""",
}


@dataclass(slots=True)
class FakeMac:
    """A `Transport` over a `LocalTransport` whose scripts see `programs` as shell functions.

    Attributes:
        reachable: while False every exec raises NodeUnreachable (E0401, exit 5).
        canned: stdout by a piece of text; a script that holds it is answered and not run.
        before: called with each script before it is run; a test changes the node behind the plan here.
    """

    local: LocalTransport
    programs: dict[str, str] = field(default_factory=lambda: dict(PROGRAMS))
    reachable: bool = True
    canned: dict[str, bytes] = field(default_factory=lambda: {"watch_host": b""})
    before: Callable[[str], None] = lambda _script: None

    @property
    def home(self) -> Path:
        """The node's home."""
        return self.local.home

    @property
    def scripts(self) -> list[str]:
        """Every script that was run, with the functions before it."""
        return self.local.scripts

    def run(
        self,
        script: str,
        *,
        deadline: float,
        stdin: Iterable[bytes] | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run the script with the Mac's programs defined before it."""
        self.before(script)
        if not self.reachable:
            problem = Diagnostic("E0401", "no answer", exit_code=ExitCode.UNREACHABLE)
            raise NodeUnreachable(problem)
        for mark, answer in self.canned.items():
            if mark in script:
                return Completed(0, answer, b"")
        functions = "\n".join(f"{name}() {{ {body}\n}}" for name, body in self.programs.items())
        if FOLLOWING in script:
            script = script.replace(FOLLOWING, FOLLOWING.replace(SHELL, self._job_shell(functions)))
        return self.local.run(f"{functions}\n{script}", deadline=deadline, stdin=stdin, sink=sink)

    def _job_shell(self, functions: str) -> str:
        """Return what runs a detached job: a shell of its own, so that it needs the functions again."""
        file = self.home.parent / f".{self.home.name}-job.sh"
        known = self.home.parent / f".{self.home.name}-programs.sh"
        known.write_text(f"{functions}\n")
        file.write_text(f"cat {quote(str(known))} - | {SHELL}\n")
        return f"/bin/sh {quote(str(file))}"

    @contextmanager
    def tunnel(self, port: int) -> Iterator[int]:
        """Yield the port itself."""
        yield port

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class FakeMacs:
    """A `Transports` with one `FakeMac` a node, each with a home below `root`."""

    root: Path
    opened: dict[str, FakeMac] = field(default_factory=dict)

    def mac(self, name: str) -> FakeMac:
        """Return a node's Mac; its home is made on first use."""
        if name not in self.opened:
            home = self.root / name
            home.mkdir(parents=True, exist_ok=True)
            self.opened[name] = FakeMac(LocalTransport(home))
        return self.opened[name]

    def to(self, node: Node) -> FakeMac:
        """Return the node's Mac."""
        return self.mac(node.name)

    def close(self) -> None:
        """Nothing is open."""
