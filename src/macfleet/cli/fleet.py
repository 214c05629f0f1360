"""What every command on a fleet shares: the folder, its inventory, adapters made on first use."""

from __future__ import annotations

import functools
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.fleet_folder import committed, find_root
from macfleet.model.diagnostic import Diagnostic, MacfleetError

if TYPE_CHECKING:
    from macfleet.cli.state_on_demand import StateOnDemand
    from macfleet.inventory import FleetSettings, Inventory
    from macfleet.model.json import Json
    from macfleet.model.node import Node
    from macfleet.sources.clock import StoppableClock
    from macfleet.sources.disk import DiskFiles
    from macfleet.sources.secrets import SecretReferences
    from macfleet.ssh import Passphrases, SshTransports
    from macfleet.store import FolderRuns, SqlState
    from macfleet.store.run_locks import StoreLocks
    from macfleet.views.redaction import Redactor

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class FleetContext:
    """One command's view of the fleet folder.

    Attributes:
        root: the fleet folder.
        sources: inventory paths given with -i; empty means the settings decide.
        output: ``human`` or ``json``; stream: events go to stdout too, a line each, before the result.
        stopped: set when somebody asked a run to stop.
    """

    root: Path
    sources: tuple[str, ...] = ()
    output: str = "human"
    verbose: bool = False
    forks: int = 0
    stream: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    _closers: list[Callable[[], None]] = field(default_factory=list)

    @cached_property
    def files(self) -> DiskFiles:
        """Reads files of the fleet folder."""
        from macfleet.sources.disk import DiskFiles

        return DiskFiles(self.root)

    @cached_property
    def settings(self) -> FleetSettings:
        """What macfleet.yml says."""
        from macfleet.inventory import load_settings
        from macfleet.inventory.settings import with_environment

        settings = with_environment(load_settings(self.files, str(self.root)), os.environ)
        self._keep_password_out(settings.state)
        return settings

    def _keep_password_out(self, address: str) -> None:
        """Take the password that an address of the state may hold out of everything this command writes."""
        if "://" not in address or "@" not in address:
            return
        from urllib.parse import unquote, urlsplit

        from macfleet.model.secret import Secret

        if password := urlsplit(address).password:
            self.redactor.learn(Secret(unquote(password)))

    @cached_property
    def inventory(self) -> Inventory:
        """The merged inventory."""
        from macfleet.inventory import load_inventory
        from macfleet.playbooks import declared_variables
        from macfleet.sources.inventory_script import InventoryScripts

        declared: dict[str, Json] = dict(declared_variables(self.files, None))
        paths = tuple(self._typed(source) for source in self.sources) or self.settings.inventory
        return load_inventory(self.files, paths, self.settings, declared, InventoryScripts(self.root))

    def _typed(self, source: str) -> str:
        """Return a path typed at the terminal, which starts where the person stands, not at the fleet folder.

        A link is not followed: variables stand beside it, not beside what it leads to, as in Ansible.
        """
        if not source.strip():
            raise click.UsageError("-i needs a PATH, such as inventory/hosts.yml.")
        path = Path(os.path.abspath(source))  # noqa: PTH100 (pathlib only resolves links, too)
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def nodes(self, pattern: str) -> tuple[Node, ...]:
        """Return the nodes a pattern selects, in inventory order."""
        from macfleet.inventory import select
        from macfleet.sources.disk import DiskFiles

        here = DiskFiles(Path.cwd())
        # `active` is a state too, and a file after @ may name any of them.
        stated = any(word in pattern for word in ("active", "cordon", "drain", "@"))
        states = self._service_states() if stated else {}
        failed = self.failed() if "@" in pattern else ()
        return select(self.inventory, pattern or "all", failed=failed, states=states, at_files=here)

    def _service_states(self) -> dict[str, str]:
        """Return the service state of each node that has one; only a pattern that names a state needs it."""
        if self._nothing_kept:
            return {}
        services = self.state.services
        return {node.name: services.service(node.name).state.value for node in self.inventory.nodes}

    def failed(self) -> tuple[str, ...]:
        """Nodes that did not end well in the newest run: what ``@failed`` means."""
        if self._nothing_kept:
            return ()
        newest = self.state.last()
        return self.state.unsettled(newest) if newest else ()

    @cached_property
    def transports(self) -> SshTransports:
        """SSH connections, one a node, closed when the command ends."""
        from macfleet.ssh import SshTransports

        transports = SshTransports(
            self.root / ".macfleet" / "known_hosts", passphrase=self.passphrases, say=self.warn
        )
        self._closers.append(transports.close)
        return transports

    def begin_connections(self, nodes: Sequence[Node]) -> None:
        """Log in to the nodes that will be asked first, while the rest of the command gets ready."""
        self.transports.begin(nodes[: self.forks or self.settings.forks])

    def begin_early(self, playbook: str, limit: str) -> None:
        """Begin to log in to the nodes of a playbook before all of the fleet folder is read.

        What cannot be told yet, or is wrong, is said by whoever reads it next.
        """
        from macfleet.inventory import select
        from macfleet.playbooks import hosts_of

        with suppress(MacfleetError):
            hosts = hosts_of(self.files, playbook)
            named = {node.name for node in select(self.inventory, hosts)} if hosts else set()
            if wanted := [node for node in self.nodes(limit) if node.name in named]:
                self.begin_connections(wanted)

    @cached_property
    def passphrases(self) -> Passphrases:
        """Passphrases of private keys: of the reference in MACFLEET_SSH_PASSPHRASE, else of SSH_ASKPASS."""
        from macfleet.ssh import Passphrases

        reference = os.environ.get("MACFLEET_SSH_PASSPHRASE", "")
        return Passphrases((lambda: self.secrets.resolve(reference)) if reference else None)

    def warn(self, found: Diagnostic) -> None:
        """Show a warning."""
        from macfleet.views.diagnostics import text

        click.echo(text(found), err=True)

    @cached_property
    def clock(self) -> StoppableClock:
        """The system's clock; pauses end when the command is to stop."""
        from macfleet.sources.clock import StoppableClock

        return StoppableClock(self.stopped)

    @cached_property
    def state(self) -> SqlState:
        """Journal and evidence."""
        from macfleet.store import SqlState

        url = self.settings.state
        if self._state_file is not None:
            url = f"sqlite:///{self._state_file}"
        state = SqlState(url)
        self._closers.append(state.close)
        return state

    @property
    def _state_file(self) -> Path | None:
        """The state's file beside the fleet; None when the settings name a store by its address."""
        url = self.settings.state
        return None if "://" in url else self.root / url

    @property
    def _nothing_kept(self) -> bool:
        """Whether the state's file is still to be made: then a question needs no store."""
        return self._state_file is not None and not self._state_file.exists()

    @cached_property
    def state_on_demand(self) -> StateOnDemand:
        """The same, opened when something is written."""
        from macfleet.cli.state_on_demand import StateOnDemand

        state = StateOnDemand(lambda: self.state, self._state_file)
        self._closers.append(state.close)
        return state

    @cached_property
    def locks(self) -> StoreLocks:
        """The nodes this command holds in the store; given back when it ends."""
        from macfleet.store.run_locks import StoreLocks, this_process

        locks = StoreLocks(self.state.locks, this_process(self.who))
        self._closers.append(locks.close)
        return locks

    @cached_property
    def runs(self) -> FolderRuns:
        """Recorded runs."""
        from macfleet.store import FolderRuns

        return FolderRuns(self.root / ".macfleet" / "runs")

    @cached_property
    def redactor(self) -> Redactor:
        """Keeps what `secrets` revealed out of everything this command writes."""
        from macfleet.views.redaction import Redactor

        return Redactor()

    @cached_property
    def secrets(self) -> SecretReferences:
        """Reads secret references such as ``env:NAME``."""
        from macfleet.sources.secrets import SecretReferences
        from macfleet.views.diagnostics import text

        return SecretReferences(
            self.root,
            learned=self.redactor.learn,
            warn=lambda found: click.echo(text(found), err=True),
            vault_password=os.environ.get("MACFLEET_VAULT_PASSWORD", ""),
        )

    @cached_property
    def commit(self) -> tuple[str, bool]:
        """The fleet folder's git commit and whether the tree is dirty; ("", True) without git."""
        return committed(self.root)

    @property
    def who(self) -> str:
        """Who runs this, as recorded in locks and manifests."""
        import getpass

        return f"{getpass.getuser()}@{socket.gethostname()}"

    def close(self) -> None:
        """Close what was opened."""
        for closer in reversed(self._closers):
            closer()


def fleet_command(command: Callable[Concatenate[FleetContext, P], R]) -> Callable[P, R]:
    """Give a command the options every fleet command has and the `FleetContext` they make."""
    return _with_fleet(command, ("human", "json"))


def event_command(command: Callable[Concatenate[FleetContext, P], R]) -> Callable[P, R]:
    """Give a command that tells what happens the same; as NDJSON, events and the result share stdout."""
    return _with_fleet(command, ("human", "json", "ndjson"))


def _with_fleet(command: Callable[Concatenate[FleetContext, P], R], forms: tuple[str, ...]) -> Callable[P, R]:
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        options: dict[str, Any] = dict(kwargs)
        form = options.pop("output")
        fleet = FleetContext(
            root=find_root(options.pop("fleet_dir")),
            sources=tuple(options.pop("inventory_paths")),
            output="json" if form == "ndjson" else form,
            stream=form == "ndjson",
            verbose=options.pop("verbose"),
            forks=options.pop("forks") or 0,
        )
        from macfleet.views.redacting_stream import hushed

        try:
            with hushed(fleet.redactor):
                return command(fleet, *args, **options)
        finally:
            fleet.close()

    options = (
        click.option("--fleet", "fleet_dir", metavar="DIR", help="Fleet folder (default: found upwards)."),
        click.option(
            "-i",
            "--inventory",
            "inventory_paths",
            multiple=True,
            metavar="PATH",
            help="Hosts file, program or folder of these; may be repeated, later ones win.",
        ),
        click.option("--output", type=click.Choice(forms), default="human", show_default=True),
        click.option("--forks", type=click.IntRange(1, 512), metavar="N", help="Nodes worked on at once."),
        click.option("-v", "--verbose", is_flag=True, help="Say more."),
    )
    result: Callable[..., R] = wrapped
    for option in reversed(options):
        result = option(result)
    return result


def limit_option(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--limit/-l``, empty where it is not said."""
    option = click.option(
        "-l",
        "--limit",
        callback=_pattern,
        type=NodePattern(),
        metavar="PATTERN",
        help="Nodes, such as rented:&m4 or mac-[01:10].",
    )
    return option(command)


def _pattern(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    # What a shell made of an unset variable: without a limit the command is about every node.
    if value is not None and not value.strip():
        raise click.BadParameter("the pattern is empty. For every node leave --limit out, or say all.")
    return value or ""
