"""A transport that runs scripts on this machine, in a home of its own, and counts its execs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from macfleet.model.diagnostic import DeadlineExceeded, Diagnostic
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node
from macfleet.model.ports import Completed


@dataclass(slots=True)
class LocalTransport:
    """Runs each script with `shell` under a HOME of its own; `scripts` keeps what was run."""

    home: Path
    shell: tuple[str, ...] = ("/bin/sh",)
    scripts: list[str] = field(default_factory=list)

    def run(
        self,
        script: str,
        *,
        deadline: float,
        stdin: Iterable[bytes] | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run the script and return how it ended."""
        self.scripts.append(script)
        command = [*self.shell, "-s"] if stdin is None else [*self.shell, "-c", script]
        fed = script.encode() if stdin is None else b"".join(stdin)
        environment = {**os.environ, "HOME": str(self.home), "TMPDIR": "/tmp"}  # noqa: S108 (sh needs one)
        try:
            done = subprocess.run(
                command, input=fed, capture_output=True, timeout=deadline, check=False, env=environment
            )
        except subprocess.TimeoutExpired as error:
            problem = Diagnostic("E0405", "the script ran past its deadline", exit_code=ExitCode.NODE_FAILED)
            raise DeadlineExceeded(problem) from error
        if sink is not None:
            sink(done.stdout)
        return Completed(done.returncode, b"" if sink is not None else done.stdout, done.stderr)

    @contextmanager
    def tunnel(self, port: int) -> Iterator[int]:
        """Yield the port itself: this machine is the node."""
        yield port

    def close(self) -> None:
        """Nothing is open between runs."""


@dataclass(slots=True)
class LocalTransports:
    """One `LocalTransport` a node, each with a home below `root`."""

    root: Path
    opened: dict[str, LocalTransport] = field(default_factory=dict)

    def to(self, node: Node) -> LocalTransport:
        """Return the node's transport; its home is made on first use."""
        if node.name not in self.opened:
            home = self.root / node.name
            home.mkdir(parents=True, exist_ok=True)
            self.opened[node.name] = LocalTransport(home)
        return self.opened[node.name]

    def close(self) -> None:
        """Nothing is open."""
