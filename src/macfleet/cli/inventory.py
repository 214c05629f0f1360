"""`macfleet inventory`: what is there, where each variable comes from, what is wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option

if TYPE_CHECKING:
    from macfleet.inventory import Branch, Contender
    from macfleet.model.json import Json
    from macfleet.model.node import Node


@click.group(epilog="Example: macfleet inventory explain mac-01.pool")
def inventory() -> None:
    """List, explain and check the inventory."""


@inventory.command("list", epilog="Example: macfleet inventory list -l 'rented:&m4'")
@limit_option
@fleet_command
def list_nodes(fleet: FleetContext, limit: str) -> None:
    """List nodes with their pool, hardware and address."""
    nodes = fleet.nodes(limit)
    if fleet.output == "json":
        _print_json("inventory-list", {"nodes": [_node_json(node) for node in nodes]})
        return
    heads = ("NODE", "POOL", "OWNERSHIP", "CHIP", "MEMORY", "PLATFORM", "ARMS", "ADDRESS")
    _print_table(heads, [_row(node) for node in nodes], right={4})


@inventory.command(epilog="Examples: macfleet inventory show mac-01 · macfleet inventory show --settings")
@click.argument("node", required=False, type=NodePattern())
@click.option("--settings", "with_settings", is_flag=True, help="The fleet's settings and what decided each.")
@fleet_command
def show(fleet: FleetContext, node: str | None, with_settings: bool) -> None:
    """Show every variable of NODE with the place it comes from."""
    if node is None and not with_settings:
        raise click.UsageError("Name a NODE, or ask for --settings.")
    result: dict[str, Json] = {}
    if with_settings:
        result["settings"] = _settings(fleet)
    if node is not None:
        found = fleet.inventory.node(node)
        result["node"] = _node_json(found)
        result["variables"] = {
            name: {"value": value, "origin": _origin(fleet.inventory.contenders[node].get(name, ()))}
            for name, value in sorted(found.variables.items())
        }
    if fleet.output == "json":
        _print_json("inventory-show", result)
        return
    if with_settings:
        _print_origins(_settings(fleet))
    if node is not None:
        click.echo(f"{node}   groups: {' '.join(fleet.inventory.node(node).groups)}")
        _print_origins(result["variables"])


@inventory.command(epilog="Example: macfleet inventory graph")
@fleet_command
def graph(fleet: FleetContext) -> None:
    """Show groups, what is inside them, and the groups that follow from variables.

    As JSON the document holds the variables of every node under _meta.hostvars, as an inventory program's
    list does, so that no node needs a call of its own.
    """
    from macfleet.inventory import graph as graph_of

    branches = graph_of(fleet.inventory)
    if fleet.output == "json":
        variables = {node.name: dict(sorted(node.variables.items())) for node in fleet.inventory.nodes}
        groups = [_branch_json(branch) for branch in branches]
        _print_json("inventory-graph", {"groups": groups, "_meta": {"hostvars": variables}})
        return
    for branch in branches:
        for line in _branch_lines(branch):
            click.echo(line)


@inventory.command(epilog="Example: macfleet inventory explain mac-01.pool")
@click.argument("variable", metavar="NODE.VAR")
@fleet_command
def explain(fleet: FleetContext, variable: str) -> None:
    """Show every place that gives a variable of a node a value, the strongest first.

    What a role or a playbook gives counts within itself alone; a role's defaults give way to the inventory.
    """
    from macfleet.inventory import explain as explain_variable
    from macfleet.playbooks.contenders import contenders_around

    node, dot, name = variable.rpartition(".")
    if not (node and dot and name):
        raise click.UsageError(f'"{variable}" is not NODE.VAR, such as mac-01.pool.')
    contenders = explain_variable(fleet.inventory, node, name, *contenders_around(fleet.files, name))
    value = fleet.inventory.node(node).variables.get(name)
    if fleet.output == "json":
        rows = [_contender_json(each) for each in reversed(contenders)]
        _print_json("inventory-explain", {"node": node, "variable": name, "value": value, "contenders": rows})
        return
    given = name in fleet.inventory.contenders[node]
    click.echo(f"{node}.{name} = {_text(value)}" if given else f"{node}.{name}: not in the inventory")
    _print_table((), [_contender_row(each) for each in reversed(contenders)])


@inventory.command(epilog="Example: macfleet inventory check")
@fleet_command
def check(fleet: FleetContext) -> None:
    """Read everything, report every problem with its file and line."""
    found = fleet.inventory
    pools = sorted({node.pool for node in found.nodes if node.pool})
    if fleet.output == "json":
        _print_json(
            "inventory-check",
            {
                "nodes": len(found.nodes),
                "pools": pools,
                "warnings": [{"summary": each.summary, "where": str(each.where)} for each in found.warnings],
            },
        )
        return
    from macfleet.views.diagnostics import text

    for warning in found.warnings:
        click.echo(text(warning), err=True)
    sources = ", ".join(fleet.sources or fleet.settings.inventory)
    click.echo(
        f"✓ {sources}: {_count(len(found.nodes), 'node')}, {_count(len(pools), 'pool')}, nothing wrong"
    )


def _settings(fleet: FleetContext) -> dict[str, Json]:
    from macfleet.inventory import trace_settings, with_environment

    flags: dict[str, str] = {}
    if fleet.sources:
        flags["inventory"] = ", ".join(fleet.sources)
    if fleet.forks:
        flags["forks"] = str(fleet.forks)
    traced = trace_settings(with_environment(fleet.settings, os.environ), os.environ, flags)
    return {each.name: {"value": each.value, "origin": each.origin} for each in traced}


def _node_json(node: Node) -> dict[str, Json]:
    return {
        "name": node.name,
        "groups": list(node.groups),
        "pool": node.pool,
        "ownership": str(node.ownership),
        "chip": node.chip,
        "memory_bytes": node.memory,
        "platform": node.platform,
        "hardware": node.hardware,
        "arms": [str(arm) for arm in node.arms],
        "host": node.endpoint.host,
        "port": node.endpoint.port,
        "user": node.endpoint.user,
    }


def _row(node: Node) -> tuple[str, ...]:
    from macfleet.model.quantity import show_bytes

    endpoint = node.endpoint
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return (
        node.name,
        node.pool or "–",
        str(node.ownership),
        node.chip or "–",
        show_bytes(node.memory) if node.memory else "–",
        node.platform,
        " ".join(node.arms) or "–",
        f"{endpoint.user}@{host}:{endpoint.port}" if endpoint.user else f"{host}:{endpoint.port}",
    )


def _branch_json(branch: Branch) -> dict[str, Json]:
    return {
        "name": branch.name,
        "kind": branch.kind or "written",
        "groups": [_branch_json(each) for each in branch.branches],
        "nodes": list(branch.nodes),
    }


def _branch_lines(branch: Branch, indent: str = "") -> Iterable[str]:
    yield f"{indent}{branch.name}:" + (f"   (from {branch.kind})" if branch.kind else "")
    for each in branch.branches:
        yield from _branch_lines(each, indent + "  ")
    for node in branch.nodes:
        yield f"{indent}  {node}"


def _contender_row(contender: Contender) -> tuple[str, ...]:
    mark = "✓" if contender.winner else "·"
    value = _text(contender.value)
    alone = f"   (in {contender.scope} alone)" if contender.scope and contender.winner else ""
    return (mark, contender.origin, str(contender.where or ""), value + alone)


def _contender_json(contender: Contender) -> dict[str, Json]:
    where = contender.where
    return {
        "value": contender.value,
        "origin": contender.origin,
        "file": where.file if where else None,
        "line": where.line if where else None,
        "winner": contender.winner,
        "scope": contender.scope or None,
    }


def _origin(contenders: Sequence[Contender]) -> str:
    winner = next((each for each in contenders if each.winner), None)
    return str(winner.where or winner.origin) if winner else "given by macfleet"


def _print_origins(rows: Json) -> None:
    if isinstance(rows, Mapping):
        lines = [
            (f"  {name}", _text(row["value"]), str(row["origin"]))
            for name, row in rows.items()
            if isinstance(row, Mapping)
        ]
        _print_table((), lines)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> None:
    from macfleet.views.flow import width_of
    from macfleet.views.table import lines

    for line in lines(heads, rows, width_of(sys.stdout), tuple(right)):
        click.echo(line)


def _print_json(kind: str, document: Mapping[str, Json]) -> None:
    json.dump({"schema": 1, "kind": kind, **document}, sys.stdout, ensure_ascii=False, indent=2)
    click.echo()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
