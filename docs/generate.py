"""Write the generated pages of ``docs/reference/`` from the code they describe.

Run it from anywhere: ``python docs/generate.py``. A test fails while a page differs from what this writes.
"""
# ruff: noqa: INP001  (a script beside the pages it writes, not a package)

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import reference_tables as tables
import reference_text as text
import yaml
from pydantic import BaseModel

import macfleet.gates.params as gate_kinds
from macfleet.cli.commands import COMMANDS
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.main import cli
from macfleet.gates import KINDS as GATES
from macfleet.inventory.settings import SettingsFile
from macfleet.inventory.variables import DEFAULTS, NodeVariables
from macfleet.model.exit_codes import PRECEDENCE, ExitCode
from macfleet.playbooks import ansible_words, grammar
from macfleet.resources import KINDS as RESOURCES
from macfleet.rollout.result import EXIT_CODES
from macfleet.views import event_kinds

DOCS = Path(__file__).resolve().parent
_EXAMPLE = re.compile(r"Examples?: (.+)", re.DOTALL)


def pages() -> dict[str, str]:
    """Return every generated page by its path below ``docs/``."""
    return {
        "reference/cli.md": cli_page(),
        "reference/events.md": events_page(),
        "reference/events.schema.json": json.dumps(event_kinds.json_schema(), indent=1, ensure_ascii=False)
        + "\n",
        "reference/exit-codes.md": exit_codes_page(),
        "reference/gates.md": gates_page(),
        "reference/inventory.md": inventory_page(),
        "reference/playbook.md": playbook_page(),
        "reference/resources.md": resources_page(),
    }


def leaf_commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with its words after ``macfleet``, sorted."""
    for path, command in all_commands():
        if not isinstance(command, click.Group):
            yield path, command


def all_commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command and group below ``macfleet`` with its words, a group before its commands."""
    root = click.Context(cli, info_name="macfleet")
    for name in sorted(COMMANDS):
        command = cli.get_command(root, name)
        if command is not None:
            yield from _below((name,), command)


def _below(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _below((*path, name), command.commands[name])


def help_of(command: click.Command) -> tuple[str, tuple[str, ...]]:
    """Return a command's description as paragraphs, and its examples."""
    described, examples = [], []
    for paragraph in re.split(r"\n\s*\n", f"{command.help or ''}\n\n{command.epilog or ''}"):
        shown = " ".join(paragraph.split())
        found = _EXAMPLE.fullmatch(shown)
        if found:
            examples += [each.strip() for each in found[1].split(" · ")]
        elif shown:
            described.append(shown)
    return "\n\n".join(described), tuple(examples)


def cli_page() -> str:
    """Return the reference of every command."""
    shared = {str(option.name) for option in _fleet_options()}
    index = [
        f"- [`macfleet {' '.join(path)}`](#{_anchor(path)}) {tables.first(help_of(command)[0])}"
        for path, command in leaf_commands()
    ]
    commands = [_command_part(path, command, shared) for path, command in leaf_commands()]
    options = _options_table(_fleet_options())
    return "\n".join([text.CLI, *index, "", text.CLI_OPTIONS, options, text.CLI_NODES, *commands])


def resources_page() -> str:
    """Return the reference of every resource kind."""
    parts = [
        text.RESOURCES,
        *(f"- [`{kind.kind}`](#{kind.kind}) {tables.first(tables.doc(kind))}" for kind in RESOURCES),
    ]
    for kind in RESOURCES:
        example = (DOCS / "examples" / f"{kind.kind}.yml").read_text(encoding="utf-8")
        parts += [f"\n## {kind.kind}\n", f"{tables.doc(kind)}\n", tables.model_table(kind)]
        for name, nested in tables.nested(kind):
            parts += [f"Each of `{name}`: {tables.doc(nested)}\n", tables.model_table(nested)]
        if kind.shell:
            names = " and ".join(f"`{name}`" for name in sorted(kind.shell))
            parts.append(
                f"{names} hold shell text: a value put in by `{{{{ … }}}}` becomes one quoted word.\n"
            )
        parts.append(f"```yaml\n{example}```")
    return "\n".join(parts) + "\n"


def gates_page() -> str:
    """Return the reference of every gate kind."""
    uses = _gate_uses()
    parts = [text.GATES, "| gate | judged | shipped stages that use it |\n|---|---|---|"]
    built = {kind: GATES[kind](uses[kind][1] if kind in uses else {}) for kind in sorted(GATES)}
    for kind, gate in built.items():
        stages = ", ".join(dict.fromkeys(uses[kind][0])) if kind in uses else ""
        parts.append(f"| [`{kind}`](#{kind}) | {'before' if gate.before else 'after'} | {stages} |")
    for kind, gate in built.items():
        params = gate_kinds.PARAMS.get(kind)
        shown = yaml.safe_dump(uses[kind][1] if kind in uses else {}, default_flow_style=True, width=1000)
        evidence, judgement = (
            tables.first(type(gate).needs.__doc__ or ""),
            tables.first(type(gate).judge.__doc__ or ""),
        )
        parts += [
            f"\n## {kind}\n",
            f"{tables.doc(type(gate))}\n",
            f"Evidence: {tables.lower(evidence)} Judgement: {tables.lower(judgement)}\n",
            tables.model_table(params) if params else "No parameters.\n",
            f"```yaml\n- {kind}: {shown.strip()}\n```",
        ]
    return "\n".join(parts) + "\n"


def events_page() -> str:
    """Return the reference of every event."""
    parts = [text.EVENTS]
    for kind in event_kinds.KINDS:
        parts.append(f"\n## {kind.name}\n\n{kind.meaning}\n")
        if kind.fields:
            parts.append("| key | value | meaning |\n|---|---|---|")
        for field in kind.fields:
            values = " ".join(f"`{value}`" for value in field.values)
            shape = f"{field.type}{', may be missing' if field.optional else ''}"
            parts.append(f"| `{field.name}` | {shape} | {tables.cell(f'{field.meaning} {values}'.strip())} |")
    return "\n".join(parts) + "\n"


def exit_codes_page() -> str:
    """Return the table of exit codes."""
    rows = [f"| {int(code)} | {text.MEANINGS[code][0]} | {text.MEANINGS[code][1]} |" for code in ExitCode]
    outcomes = [f"| {outcome} | {int(code)} |" for outcome, code in EXIT_CODES.items()]
    order = text.EXIT_ORDER.format(order=", ".join(str(int(code)) for code in PRECEDENCE))
    head = ["# Exit codes\n", text.NOTE, "| code | meaning | for example |\n|---|---|---|"]
    return "\n".join([*head, *rows, order, *outcomes, text.EXIT_OUTCOMES])


def inventory_page() -> str:
    """Return the reference of macfleet.yml and of the variables macfleet reads from the inventory."""
    defaults = {name: f"`{value}`" if value != [] else "none" for name, value in DEFAULTS.items()}
    parts = [text.SETTINGS, tables.model_table(SettingsFile)]
    for name, model in tables.nested(SettingsFile):
        parts += [f"`{name}`: {tables.doc(model)}\n", tables.model_table(model)]
    parts += [text.VARIABLES, tables.model_table(NodeVariables, defaults)]
    for name, model in tables.nested(NodeVariables):
        parts += [f"`{name}`: {tables.doc(model)}\n", tables.model_table(model)]
    return "\n".join(parts)


def playbook_page() -> str:
    """Return the page of the playbook: its text as it is, and beneath it the tables of all keys."""
    models: Sequence[tuple[str, type[BaseModel]]] = (
        ("A playbook's one item", grammar.PlayBorder),
        ("strategy", grammar.StrategyBorder),
        ("A role with variables or tags", grammar.RoleUseBorder),
        ("A role's meta/main.yml", grammar.RoleMetaBorder),
        ("A task, besides its resource kind", grammar.TaskBorder),
    )
    written = (DOCS / "reference/playbook.md").read_text(encoding="utf-8").partition(text.PLAYBOOK_KEYS)[0]
    parts = [f"{written}{text.PLAYBOOK_KEYS}"]
    for title, model in models:
        parts += [f"### {title}\n", tables.model_table(model)]
    words = [*sorted(ansible_words.PLAY.items()), *sorted(ansible_words.TASK.items())]
    rows = [f"| `{word}` | {tables.cell(said)} |" for word, said in words]
    names = [f"| `{name}` | {tables.cell(said)} |" for name, said in sorted(ansible_words.NAMES.items())]
    return "\n".join([*parts, text.ANSIBLE_WORDS, *dict.fromkeys(rows), text.ANSIBLE_NAMES, *names, ""])


def _command_part(path: tuple[str, ...], command: click.Command, shared: set[str]) -> str:
    context = click.Context(command, info_name=path[-1])
    usage = " ".join(["macfleet", *path, *command.collect_usage_pieces(context)])
    described, examples = help_of(command)
    options = [option for option in command.params if isinstance(option, click.Option)]
    # Some of these names are options of commands that need no fleet folder too: those have them alone.
    on_a_fleet = shared <= {option.name for option in options}
    own = [option for option in options if not (on_a_fleet and option.name in shared)]
    parts = [f"## macfleet {' '.join(path)}\n", f"```\n{usage}\n```\n", f"{described}\n"]
    if own:
        parts.append(_options_table(own))
    if on_a_fleet:
        parts.append("And the [options of every command on a fleet](#options-of-every-command-on-a-fleet).\n")
    if examples:
        parts.append("```sh\n" + "\n".join(examples) + "\n```\n")
    return "\n".join(parts)


def _fleet_options() -> list[click.Option]:
    @click.command()
    @fleet_command
    def probe(fleet: FleetContext) -> None:
        _ = fleet

    return [option for option in probe.params if isinstance(option, click.Option)]


def _options_table(options: Sequence[click.Option]) -> str:
    rows = []
    for option in options:
        record = option.get_help_record(click.Context(click.Command("macfleet")))
        if record:
            rows.append(f"| `{tables.cell(record[0])}` | {tables.cell(record[1])} |")
    return "\n".join(["| option | meaning |\n|---|---|", *rows, ""])


def _anchor(path: tuple[str, ...]) -> str:
    return "-".join(("macfleet", *path))


def _gate_uses() -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Return by gate the shipped stages that use it, and the parameters of its first use."""
    uses: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for path in sorted((DOCS.parent / "playbooks").glob("*.yml")):
        for play in yaml.safe_load(path.read_text(encoding="utf-8")):
            for line in play.get("gates", ()):
                for kind, params in line.items():
                    stages, _ = uses.setdefault(kind, ([], dict(params or {})))
                    stages.append(str(play["stage"]))
    return uses


def main() -> int:
    """Write every page that differs and name it."""
    for name, page in pages().items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != page:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page, encoding="utf-8")
            print(f"docs/{name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
