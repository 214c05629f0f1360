"""`macfleet enrol`, `ping` and `exec`: host keys, reachability, and a command on many nodes."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode, strongest
from macfleet.model.shell import quote, words

if TYPE_CHECKING:
    from macfleet.model.json import Json
    from macfleet.model.node import Node
    from macfleet.model.ports import Completed
    from macfleet.ssh import Enrolment

Answer = TypeVar("Answer")

_HEADS = ("NODE", "HOST", "KEY", "FINGERPRINT", "STATE")
_PING_DEADLINE = 20.0
_UP = "up"
_LONGEST = 7 * 86400.0
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = "PATH=/opt/homebrew/bin:/opt/homebrew/sbin:/usr/bin:/bin:/usr/sbin:/sbin; export PATH;"


@click.command(
    epilog="Examples: macfleet enrol mac-01 · macfleet enrol mac-01 --replace · macfleet enrol -l all"
)
@click.argument("patterns", metavar="[NODE]...", nargs=-1, type=NodePattern())
@click.option("--replace", is_flag=True, help="Take a changed key: the Mac was re-imaged.")
@limit_option
@fleet_command
def enrol(fleet: FleetContext, patterns: tuple[str, ...], replace: bool, limit: str) -> int:
    """Learn the host keys of nodes and print their fingerprints to compare.

    Keys go to .macfleet/known_hosts of the fleet folder. A key that changed is refused without --replace, one
    that is not the pinned one of the inventory is refused always.
    """
    from macfleet.ssh import enrol as enrol_nodes

    if not patterns and not limit:
        raise click.UsageError("Name a NODE, or select with --limit.")
    nodes = fleet.nodes(":".join((*patterns, *([limit] if limit else []))))
    known_hosts = fleet.root / ".macfleet" / "known_hosts"
    rows = enrol_nodes(
        nodes,
        known_hosts,
        replace,
        others=fleet.inventory.nodes,
        passphrase=fleet.passphrases,
        say=fleet.warn,
    )
    problems = [found for row in rows for found in row.diagnostics]
    if fleet.output == "json":
        _print_json("enrol", {"hosts": [_enrolment_json(row) for row in rows]}, problems)
    else:
        _print_table(_HEADS, [_enrolment_row(row) for row in rows])
    return _report(problems)


@click.command(epilog="Example: macfleet ping -l rented")
@limit_option
@fleet_command
def ping(fleet: FleetContext, limit: str) -> int:
    """Log in to nodes, let the account's shell say one word, and say how long both took."""
    nodes = fleet.nodes(limit)
    results = _each(fleet, "Ping", nodes, lambda node: _timed(fleet, node))
    rows: list[dict[str, Json]] = []
    for name, result in results.items():
        if isinstance(result, MacfleetError):
            rows.append({"node": name, "reachable": False, "code": result.diagnostics[0].code})
        else:
            connect, answer = result
            rows.append({"node": name, "reachable": True, "login_seconds": connect, "answer_seconds": answer})
    if fleet.output == "json":
        _print_json("ping", {"nodes": rows}, _diagnostics(results.values()))
    else:
        _print_table(("NODE", "STATE", "LOGIN", "ANSWER"), [_ping_row(row) for row in rows])
    return _report(_diagnostics(results.values()))


@click.command(
    "exec",
    epilog="Examples: macfleet exec -l m4 -- sw_vers · macfleet exec -- 'ls /Users | wc -l' · "
    "macfleet exec --secret TOKEN=env:TOKEN -- 'printf %s \"$TOKEN\" | wc -c'",
)
@click.argument("command", nargs=-1, required=True)
@click.option("--deadline", type=float, default=60.0, show_default=True, metavar="SECONDS", help="Per node.")
@click.option("--secret", "named", multiple=True, metavar="NAME=REF", help="A secret as a shell variable.")
@limit_option
@fleet_command
def exec_(
    fleet: FleetContext, command: tuple[str, ...], deadline: float, named: tuple[str, ...], limit: str
) -> int:
    """Run a command on many nodes and print each node's output under its name.

    One word is taken as shell text, several as a program with its arguments. Homebrew's programs are on
    the PATH. A secret such as TOKEN=env:TOKEN is a variable of the node's shell, not of its environment;
    pipe it into what wants it.
    """
    if not 0 < deadline <= _LONGEST:  # `nan` is neither
        raise click.UsageError(f"--deadline must be more than 0 and at most {_LONGEST:.0f} seconds, a week.")
    if named and len(command) > 1:
        raise click.UsageError("With --secret, write the command as one word of shell text, in quotes.")
    script = f"{_PATH} {_variables(fleet, named)}{command[0] if len(command) == 1 else words(command)}"
    nodes = fleet.nodes(limit)
    results = _each(
        fleet, "Exec", nodes, lambda node: fleet.transports.to(node).run(script, deadline=deadline)
    )
    if fleet.output == "json":
        ran: list[Json] = [_run_json(name, result) for name, result in results.items()]
        _print_json("exec", {"nodes": ran}, _diagnostics(results.values()))
    else:
        for name, result in results.items():
            if not isinstance(result, MacfleetError):
                _print_run(name, result)
    code = _report(_diagnostics(results.values()))
    failed = any(not isinstance(result, MacfleetError) and result.exit for result in results.values())
    return int(strongest([ExitCode(code), *([ExitCode.NODE_FAILED] if failed else [])]))


def _variables(fleet: FleetContext, named: Sequence[str]) -> str:
    """Return shell text that sets a variable a secret; it travels on stdin and is exported to no program."""
    texts = []
    for each in named:
        name, found, reference = each.partition("=")
        if not found or not _VARIABLE.fullmatch(name):
            raise click.UsageError("--secret is NAME=REF, such as TOKEN=env:TOKEN.")
        texts.append(f"unset {name}; {name}={quote(fleet.secrets.resolve(reference).reveal())}; ")
    return "".join(texts)


def _each(
    fleet: FleetContext, title: str, nodes: Sequence[Node], work: Callable[[Node], Answer]
) -> Mapping[str, Answer | MacfleetError]:
    """Do one thing on every node at once; return results by node name, in inventory order.

    On a terminal the nodes that are still waited for are seen under `title`.
    """
    from macfleet.executors.threads import ThreadExecutor
    from macfleet.views.progress import asking

    by_name = {node.name: node for node in nodes}
    # Made before the threads start: opening connections on first use is theirs, making the pool is not.
    _ = fleet.transports
    executor = ThreadExecutor(fleet.forks or fleet.settings.forks)
    with asking(title, tuple(by_name)) as answered:

        def one(name: str) -> Answer:
            try:
                return work(by_name[name])
            finally:
                answered(name)

        answers = executor.each(tuple(by_name), one)
    results: dict[str, Answer | MacfleetError] = {}
    for name, result in answers.items():
        if isinstance(result, Exception) and not isinstance(result, MacfleetError):
            raise result
        if isinstance(result, MacfleetError):
            result.diagnostics = fleet.redactor.value(result.diagnostics)
        # Before it is cut into lines, folded and cleaned, when a secret could no longer be found.
        results[name] = fleet.redactor.value(result)
    return results


def _timed(fleet: FleetContext, node: Node) -> tuple[float, float]:
    """Return seconds to log in and seconds of the smallest script.

    Raises:
        MacfleetError: the node cannot be reached, or E0427, its account runs no scripts.
    """
    start = time.monotonic()
    transport = fleet.transports.to(node)
    connected = time.monotonic()
    done = transport.run(f"printf {_UP}", deadline=_PING_DEADLINE)
    if done.exit != 0 or not done.stdout.endswith(_UP.encode()):
        from macfleet.ssh.trouble import no_shell

        said = (done.stderr or done.stdout).decode("utf-8", "replace")
        raise MacfleetError(no_shell(node.name, done.exit, said))
    return round(connected - start, 4), round(time.monotonic() - connected, 4)


def _diagnostics(results: Iterable[object]) -> list[Diagnostic]:
    return [found for result in results if isinstance(result, MacfleetError) for found in result.diagnostics]


def _report(diagnostics: Sequence[Diagnostic]) -> int:
    """Print diagnostics to stderr; return the exit code they ask for."""
    from macfleet.views.diagnostics import text

    for found in diagnostics:
        click.echo(text(found), err=True)
    return int(strongest(found.exit_code for found in diagnostics))


def _enrolment_row(row: Enrolment) -> tuple[str, ...]:
    state = f"{row.outcome}, was {', '.join(row.before)}" if row.before else str(row.outcome)
    return row.node, row.host, row.key_type or "–", row.fingerprint or "–", state


def _enrolment_json(row: Enrolment) -> dict[str, Json]:
    return {
        "node": row.node,
        "host": row.host,
        "key_type": row.key_type or None,
        "fingerprint": row.fingerprint or None,
        "state": str(row.outcome),
        "before": list(row.before),
        "errors": _errors_json(row.diagnostics),
    }


def _ping_row(row: Mapping[str, Json]) -> tuple[str, ...]:
    if not row["reachable"]:
        return str(row["node"]), "unreachable", "–", "–"
    return str(row["node"]), "ok", _milliseconds(row["login_seconds"]), _milliseconds(row["answer_seconds"])


def _milliseconds(seconds: Json) -> str:
    return f"{float(str(seconds)) * 1000:.0f} ms"


def _run_json(name: str, result: Completed | MacfleetError) -> dict[str, Json]:
    if isinstance(result, MacfleetError):
        return {"node": name, "exit": None, "errors": _errors_json(result.diagnostics)}
    return {
        "node": name,
        "exit": result.exit,
        "stdout": result.stdout.decode(errors="replace"),
        "stderr": result.stderr.decode(errors="replace"),
        "errors": [],
    }


def _errors_json(diagnostics: Iterable[Diagnostic]) -> list[Json]:
    return [{"code": found.code, "summary": found.summary, "mend": found.mend} for found in diagnostics]


def _print_run(name: str, done: Completed) -> None:
    from macfleet.views.diagnostics import clean

    click.echo(f"{name}   exit {done.exit}", err=True)
    for stream, err in ((done.stdout, False), (done.stderr, True)):
        for line in stream.decode(errors="replace").splitlines():
            click.echo(f"{name} │ {clean(line)}", err=err)


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from macfleet.views.flow import width_of
    from macfleet.views.table import lines
    from macfleet.views.terminal import show

    show(lines(heads, rows, width_of(sys.stdout)))


def _print_json(kind: str, document: Mapping[str, Json], found: Iterable[Diagnostic]) -> None:
    """Print one document; what went wrong stands beside what was found."""
    from macfleet.views.diagnostics import json_text
    from macfleet.views.terminal import show_json

    whole: dict[str, Json] = {"schema": 1, "kind": kind, **document}
    if problems := tuple(found):
        click.echo(json_text(problems, whole))
    else:
        show_json(whole)
