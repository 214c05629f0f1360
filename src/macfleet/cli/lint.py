"""`macfleet lint`: all of a fleet folder checked, without any node."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError, Severity
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.model.node import Node
    from macfleet.playbooks import ParsedPlaybook
    from macfleet.rollout.desired import Desired, NetworkChoice

Found = TypeVar("Found")
READ_BY_MACFLEET = frozenset(
    {"accelerator", "bare_cpu_arguments", "bare_cpu_environment", "bare_label", "bare_port", "compose_file",
     "compose_project", "compose_service", "engine_port", "forwarder", "front_port", "front_project",
     "loadgen_container", "loadgen_image"}
)  # fmt: skip
"""Variables that rollouts read themselves, besides the known keys of a node."""
_WORD = re.compile(r"[A-Za-z_]\w*")


def _elsewhere(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Take a fleet folder named as PATH for --fleet."""
    if path is not None and (path / "macfleet.yml").is_file():
        context.default_map = {**(context.default_map or {}), "fleet_dir": str(path)}
        return None
    return path


@click.command()
@click.argument(
    "path",
    required=False,
    is_eager=True,
    callback=_elsewhere,
    type=click.Path(path_type=Path, exists=True, resolve_path=True),
)
@click.option("--strict", is_flag=True, help="A warning is exit 2 too.")
@fleet_command
def lint(fleet: FleetContext, path: Path | None, strict: bool) -> int:
    """Check inventory, playbooks, roles, contract, locks and prices; asks no node and no registry.

    Every stage is compiled for every node. PATH is a fleet folder, or a file or folder inside of one: then
    only findings there are shown. Exit 2 when there is an error, else 0.

    Example: macfleet lint --strict
    """
    from macfleet.views import lint as view
    from macfleet.views.flow import width_of
    from macfleet.views.terminal import show, show_json

    checked = check_folder(fleet)
    below = "" if path is None else _below(fleet.root, path)
    found = [each for each in checked.found if below in ("", ".") or _is_in(each, below)]
    errors = sum(each.severity is Severity.ERROR for each in found)
    code = ExitCode.USAGE if errors or (strict and found) else ExitCode.DONE
    if fleet.output == "json":
        show_json(view.document(found, checked.counts, code))
    else:
        show(view.lines(found, checked.counts, code, width_of(sys.stdout)))
    return int(code)


@dataclass(slots=True)
class Checked:
    """What was found, in the order of files, and how much was looked at by its plural name."""

    found: list[Diagnostic] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def collect(self, work: Callable[[], Found]) -> Found | None:
        """Return what `work` returns, None when it finds something wrong."""
        try:
            return work()
        except MacfleetError as error:
            self.found += error.diagnostics
            return None


def check_folder(fleet: FleetContext) -> Checked:
    """Return every finding about a fleet folder; findings about several nodes are said once."""
    checked = Checked()
    nodes = _inventory(fleet, checked)
    playbooks = _playbooks(fleet, checked)
    _roles(
        fleet,
        playbooks,
        nodes,
        checked,
        complete=bool(nodes) and len(playbooks) == checked.counts["playbooks"],
    )
    desired = _promises(fleet, playbooks, nodes, checked)
    checked.counts |= {"nodes": len(nodes), "compiled stages": 0}
    if desired is not None:
        _compile(fleet, desired, checked)
    unique = {(each.code, each.where, each.summary): each for each in reversed(checked.found)}
    checked.found = sorted(unique.values(), key=_order)
    return checked


def _inventory(fleet: FleetContext, checked: Checked) -> tuple[Node, ...]:
    if checked.collect(lambda: fleet.settings) is None:
        return ()
    inventory = checked.collect(lambda: fleet.inventory)
    if inventory is None:
        return ()
    checked.found += inventory.warnings
    return inventory.nodes


def _playbooks(fleet: FleetContext, checked: Checked) -> list[ParsedPlaybook]:
    """Return the playbooks that are well formed, those of no stage included."""
    from macfleet.cli.compose import PLAYBOOKS
    from macfleet.gates import build_gate
    from macfleet.playbooks import load_stage

    there = [path for path in fleet.files.list("playbooks") if path.endswith((".yml", ".yaml"))]
    paths = sorted({*(path for path in there if path.count("/") == 1), *PLAYBOOKS.values()})
    loaded = []
    for path in paths:
        playbook = checked.collect(partial(load_stage, fleet.files, path))
        if playbook is not None:
            loaded.append(playbook)
            for gate in playbook.gates:
                checked.collect(partial(build_gate, gate))
    strangers = [path for path in paths if path not in PLAYBOOKS.values()]
    checked.found += [_no_command(path, PLAYBOOKS.values()) for path in strangers]
    checked.counts["playbooks"] = len(paths)
    return loaded


def _roles(
    fleet: FleetContext,
    playbooks: list[ParsedPlaybook],
    nodes: tuple[Node, ...],
    checked: Checked,
    *,
    complete: bool,
) -> None:
    from macfleet.inventory.variables import IGNORED, KNOWN, MAGIC
    from macfleet.playbooks.survey import survey

    names = {name for node in nodes for name in node.variables}
    variables = {*names, *KNOWN, *IGNORED, *MAGIC, "loadgen_image"}
    read = {
        *KNOWN,
        *IGNORED,
        *MAGIC,
        *READ_BY_MACFLEET,
        *_words(fleet, "inventory"),
        *_words(fleet, "macfleet.yml"),
    }
    checked.found += survey(fleet.files, playbooks, variables, read, complete=complete)
    checked.counts["roles"] = len({path.split("/")[1] for path in fleet.files.list("roles")})


def _promises(
    fleet: FleetContext, playbooks: list[ParsedPlaybook], nodes: tuple[Node, ...], checked: Checked
) -> Desired | None:
    """Check contract, locks and prices; return them with the playbooks where the stages can be compiled."""
    from macfleet.analysis.attestations import load_attestations
    from macfleet.analysis.budget import load_budget
    from macfleet.analysis.offers import load_offers
    from macfleet.analysis.thresholds import load_thresholds
    from macfleet.cli.compose import PLAYBOOKS, edges, frozen_contract
    from macfleet.cli.image_lock import checked_lock
    from macfleet.cli.image_rules import image_rules
    from macfleet.cli.lock_files import network_lock, weights_lock
    from macfleet.cli.releases import own_images
    from macfleet.contract.memory import memory_problems
    from macfleet.gates.image_rules import ImageRules
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.promotion_declared import load_declared

    checked.collect(partial(load_thresholds, fleet.files))
    checked.collect(partial(load_offers, fleet.files))
    checked.collect(partial(load_attestations, fleet.files))
    checked.collect(partial(load_declared, fleet.files))
    contract = checked.collect(partial(frozen_contract, fleet))
    checked.found += memory_problems(contract, nodes) if contract else ()
    checked.collect(partial(load_budget, fleet.files, contract))
    network = checked.collect(partial(network_lock, fleet))
    weights = checked.collect(partial(weights_lock, fleet))
    locked = checked.collect(lambda: checked_lock(fleet, None, write=False)) if nodes else None
    own = checked.collect(partial(own_images, fleet)) if nodes else None
    rules = checked.collect(lambda: image_rules(fleet, (locked or {}, *(own or {}).values())))
    checked.found += _unknown_nodes(network or {}, nodes)
    by_file = {playbook.file: playbook for playbook in playbooks}
    stages = {stage: by_file[path] for stage, path in PLAYBOOKS.items() if path in by_file}
    if contract is None or locked is None:
        return None
    checked.counts["fixtures"] = len(contract.fixture_hashes)
    rules = rules or ImageRules()
    return Desired(
        contract, stages, locked, network or {}, weights or (), own=own or {}, rules=rules, edges=edges(nodes)
    )


def _compile(fleet: FleetContext, desired: Desired, checked: Checked) -> None:
    """Compile every stage for every node it is for."""
    from macfleet.inventory import select
    from macfleet.playbooks import WHOLE
    from macfleet.rollout.elsewhere import delegated

    compiled = 0
    for stage, playbook in desired.playbooks.items():
        try:
            chosen = select(fleet.inventory, playbook.hosts)
        except MacfleetError as error:
            checked.found += [
                replace(each, where=each.where or playbook.hosts_at) for each in error.diagnostics
            ]
            continue
        checked.collect(partial(delegated, stage, chosen, desired, WHOLE))
        for node in chosen:
            known = replace(node, variables={"loadgen_image": "", **node.variables})
            if checked.collect(partial(desired.compile, stage, known)) is not None:
                compiled += 1
    checked.counts["compiled stages"] = compiled


def _unknown_nodes(network: dict[str, NetworkChoice], nodes: tuple[Node, ...]) -> list[Diagnostic]:
    known = {node.name for node in nodes}
    return [
        Diagnostic(
            "E0336",
            f"network.lock has a choice for {name}, which the inventory does not know",
            mend="Remove its line, or add the node.",
            where=Location("network.lock"),
            severity=Severity.WARNING,
        )
        for name in sorted(set(network) - known)
        if nodes
    ]


def _no_command(path: str, known: Iterable[str]) -> Diagnostic:
    return Diagnostic(
        "E0335",
        "no command carries this playbook out",
        why=f"Those that are: {', '.join(known)}.",
        mend="Move its roles and tasks to one of them.",
        where=Location(path),
        severity=Severity.WARNING,
    )


def _words(fleet: FleetContext, path: str) -> set[str]:
    """Return every word of the texts at a path: who names a variable there may well read it."""
    paths = fleet.files.list(path) or ((path,) if fleet.files.exists(path) else ())
    found: set[str] = set()
    for each in paths:
        text = fleet.files.read(each).decode("utf-8", "replace")
        for expression in re.findall(r"\{\{(.*?)\}\}", text, re.DOTALL):
            found |= set(_WORD.findall(expression))
    return found


def _below(root: Path, path: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError as error:
        raise click.UsageError(f"{path} is not inside the fleet folder {root}") from error


def _is_in(found: Diagnostic, below: str) -> bool:
    file = found.where.file if found.where else ""
    return file == below or file.startswith(f"{below}/")


def _order(found: Diagnostic) -> tuple[str, int, int, str, str]:
    where = found.where or Location("", 0, 0)
    return where.file, where.line, where.column, found.code, found.summary
