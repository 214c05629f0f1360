"""Write the generated pages of ``docs/reference/`` from the code they describe.

Run it from anywhere: ``python docs/generate.py``. A test fails while a page differs from what this writes.
"""
# ruff: noqa: INP001  (a script beside the pages it writes, not a package)

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click
import yaml
from pydantic import BaseModel, BeforeValidator

import macfleet.gates.build as gate_kinds
from macfleet.cli.commands import COMMANDS
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.main import cli
from macfleet.gates import KINDS as GATES
from macfleet.inventory.settings import SettingsFile
from macfleet.inventory.variables import DEFAULTS, NodeVariables
from macfleet.model.exit_codes import PRECEDENCE, ExitCode
from macfleet.playbooks import grammar
from macfleet.resources import KINDS as RESOURCES
from macfleet.rollout.result import EXIT_CODES

DOCS = Path(__file__).resolve().parent
_NOTE = "<!-- Written by docs/generate.py from the code; edit that, then run `make docs`. -->\n"
_EXAMPLE = re.compile(r"Examples?: (.+)", re.DOTALL)

_MEANINGS = {
    ExitCode.DONE: (
        "Done, or nothing to do.",
        "An inconclusive comparison too: a short measurement is no error.",
    ),
    ExitCode.INTERNAL: (
        "macfleet or an input/output operation failed.",
        "Run it again with `--debug` before the command.",
    ),
    ExitCode.USAGE: (
        "What the controller's own files or the command line prove wrong.",
        "Unknown key, mutable tag, edited fixture, reversed range, unknown pattern term.",
    ),
    ExitCode.PENDING: (
        "Changes are pending.",
        "From `plan`, `drift` and `--check` alone; nothing was changed.",
    ),
    ExitCode.NODE_FAILED: (
        "A node failed on the way.",
        "A step failed, a plan went stale, a resource did not converge, a wave was not reached.",
    ),
    ExitCode.UNREACHABLE: (
        "A node could not be reached.",
        "An unknown or changed host key counts: nothing was sent to that machine.",
    ),
    ExitCode.LOCKED: (
        "Another run holds a node's lock.",
        "The message names the run, who started it, and when.",
    ),
    ExitCode.HELD: (
        "What a probe, a registry or a measurement shows is against it.",
        "A gate held, a predecessor is missing or stale, a platform is foreign, a cell is INVALID.",
    ),
    ExitCode.NOTHING_SELECTED: (
        "Every term of the selection is known and no node is left.",
        "Also `--resume` of a run that finished every node.",
    ),
    ExitCode.INTERRUPTED: ("Interrupted.", "The journal is kept; `--resume` goes on."),
}


_CLI = f"""# The command line

{_NOTE}
`macfleet [--debug] COMMAND`. The result goes to stdout, progress and prose to stderr. What the exit code
says: [exit codes](exit-codes.md). An error is a diagnostic: what, where, why, and what to type next; all of
them are shown, not the first.
"""
_CLI_OPTIONS = """## Options of every command on a fleet

The fleet folder is found upwards from the working directory, or named by `--fleet`, or by the variable
`MACFLEET_FLEET`. `-i` names an inventory source instead of those of `macfleet.yml` and may be repeated.
`--output json` prints one document with `schema` and `kind`.
"""
_CLI_NODES = """## Selecting nodes

`--limit` takes terms separated by commas or by colons: a node, a group, a glob `mac-*`, a range
`mac-[01:10]` (both ends included), a regular expression `~mac-.5`, a position `chat[0:2]`, `@failed` (nodes
that did not end well in the newest run) or `@FILE` (a term a line). `&term` keeps only what is in it too,
`!term` takes it away. Ownership, chip, pool, provider, site, environment and state are groups without being
written down. A term that matches nothing is an error.
"""
_RESOURCES = f"""# Resources

{_NOTE}
A task of a playbook or a role names one resource kind with its parameters. A resource has a unique address on
a node; a second one with the same address is refused. `needs:` orders resources; what follows from the
parameters is inferred, such as a file after the directory it lies in.

A size is a number of bytes, or text such as `12GiB`; a time is a number of seconds, or text such as `2m`.
"""
_GATES = f"""# Gates

{_NOTE}
A gate says which evidence it needs and judges it as a pure function. It passes, holds or fails a node;
evidence that is missing holds, it never passes. A gate judged *before* looks at the node as it is: `--check`
shows it, and a hold leaves the node alone. One judged *after* needs what applying or measuring left.
*Not applicable* is what a gate says of an arm the inventory does not declare.

Two verdicts need no line in a playbook: `provisioned` (nothing of `playbooks/site.yml` is pending) and
`predecessor` (every earlier stage has evidence that passed, is young, and is about what is wanted now).
"""
_EXIT_ORDER = """
When several apply, the first of this order wins: {order}. So one code tells a script what to do about a
command on many nodes, and the text tells a person about each node.

## How a node's end becomes a code

| a stage ended for the node | code |
|---|---|"""
_EXIT_OUTCOMES = """
`current`: evidence with the same key is younger than seven days and the plan is empty. `pending`: what
`--check` says of a node that would be changed. `not reached`: a node of a wave that did not start because
`max_failures` was met.
"""
_SETTINGS = f"""# Settings and inventory variables

{_NOTE}
## macfleet.yml

The file that makes a folder a fleet folder. `macfleet inventory show --settings` says what decided each
setting: flag, environment (`MACFLEET_FLEET`, `MACFLEET_INVENTORY`, `MACFLEET_STATE`, `MACFLEET_FORKS`), file,
default.
"""
_VARIABLES = """## Variables of a node

What macfleet itself reads from `hosts.yml`, `group_vars/` and `host_vars/`. Another variable must be declared
in a role's defaults or under `variables:` of `macfleet.yml`, else it is refused with the nearest known name.
`macfleet inventory explain NODE.VARIABLE` shows every place that gives a variable a value, the strongest
first.
"""


def pages() -> dict[str, str]:
    """Return every generated page by its path below ``docs/``."""
    return {
        "reference/cli.md": cli_page(),
        "reference/exit-codes.md": exit_codes_page(),
        "reference/gates.md": gates_page(),
        "reference/inventory.md": inventory_page(),
        "reference/playbook-keys.md": playbook_keys_page(),
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
        text = " ".join(paragraph.split())
        found = _EXAMPLE.fullmatch(text)
        if found:
            examples += [each.strip() for each in found[1].split(" · ")]
        elif text:
            described.append(text)
    return "\n\n".join(described), tuple(examples)


# --- pages -------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Return the reference of every command."""
    shared = {str(option.name) for option in _fleet_options()}
    index = [
        f"- [`macfleet {' '.join(path)}`](#{_anchor(path)}) {_first(help_of(command)[0])}"
        for path, command in leaf_commands()
    ]
    commands = [_command_part(path, command, shared) for path, command in leaf_commands()]
    options = _options_table(_fleet_options())
    return "\n".join([_CLI, *index, "", _CLI_OPTIONS, options, _CLI_NODES, *commands])


def resources_page() -> str:
    """Return the reference of every resource kind."""
    parts = [_RESOURCES, *(f"- [`{kind.kind}`](#{kind.kind}) {_first(_doc(kind))}" for kind in RESOURCES)]
    for kind in RESOURCES:
        example = (DOCS / "examples" / f"{kind.kind}.yml").read_text(encoding="utf-8")
        parts += [f"\n## {kind.kind}\n", f"{_doc(kind)}\n", _model_table(kind)]
        for name, nested in _nested(kind):
            parts += [f"Each of `{name}`: {_doc(nested)}\n", _model_table(nested)]
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
    parts = [_GATES, "| gate | judged | shipped stages that use it |\n|---|---|---|"]
    built = {kind: GATES[kind](uses[kind][1] if kind in uses else {}) for kind in sorted(GATES)}
    for kind, gate in built.items():
        stages = ", ".join(uses[kind][0]) if kind in uses else ""
        parts.append(f"| [`{kind}`](#{kind}) | {'before' if gate.before else 'after'} | {stages} |")
    for kind, gate in built.items():
        params = _gate_params(kind)
        shown = yaml.safe_dump(uses[kind][1] if kind in uses else {}, default_flow_style=True, width=1000)
        evidence, judgement = _first(type(gate).needs.__doc__ or ""), _first(type(gate).judge.__doc__ or "")
        parts += [
            f"\n## {kind}\n",
            f"{_doc(type(gate))}\n",
            f"Evidence: {_lower(evidence)} Judgement: {_lower(judgement)}\n",
            _model_table(params) if params else "No parameters.\n",
            f"```yaml\n- {kind}: {shown.strip()}\n```",
        ]
    return "\n".join(parts) + "\n"


def exit_codes_page() -> str:
    """Return the table of exit codes."""
    rows = [f"| {int(code)} | {_MEANINGS[code][0]} | {_MEANINGS[code][1]} |" for code in ExitCode]
    outcomes = [f"| {outcome} | {int(code)} |" for outcome, code in EXIT_CODES.items()]
    order = _EXIT_ORDER.format(order=", ".join(str(int(code)) for code in PRECEDENCE))
    head = ["# Exit codes\n", _NOTE, "| code | meaning | for example |\n|---|---|---|"]
    return "\n".join([*head, *rows, order, *outcomes, _EXIT_OUTCOMES])


def inventory_page() -> str:
    """Return the reference of macfleet.yml and of the variables macfleet reads from the inventory."""
    defaults = {name: f"`{value}`" if value != [] else "none" for name, value in DEFAULTS.items()}
    parts = [_SETTINGS, _model_table(SettingsFile)]
    for name, model in _nested(SettingsFile):
        parts += [f"`{name}`: {_doc(model)}\n", _model_table(model)]
    parts += [_VARIABLES, _model_table(NodeVariables, defaults)]
    for name, model in _nested(NodeVariables):
        parts += [f"`{name}`: {_doc(model)}\n", _model_table(model)]
    return "\n".join(parts)


def playbook_keys_page() -> str:
    """Return the tables of keys of a playbook, a role use and a task."""
    models: Sequence[tuple[str, type[BaseModel]]] = (
        ("A playbook's one item", grammar.PlayBorder),
        ("strategy", grammar.StrategyBorder),
        ("A role with variables", grammar.RoleUseBorder),
        ("A role's meta/main.yml", grammar.RoleMetaBorder),
        ("A task, besides its resource kind", grammar.TaskBorder),
    )
    parts = ["# Keys of a playbook\n", _NOTE, "What they mean together: [the playbook](playbook.md).\n"]
    for title, model in models:
        parts += [f"## {title}\n", _model_table(model)]
    return "\n".join(parts)


# --- Click -------------------------------------------------------------------------------------------------


def _command_part(path: tuple[str, ...], command: click.Command, shared: set[str]) -> str:
    context = click.Context(command, info_name=path[-1])
    usage = " ".join(["macfleet", *path, *command.collect_usage_pieces(context)])
    described, examples = help_of(command)
    options = [option for option in command.params if isinstance(option, click.Option)]
    own = [option for option in options if option.name not in shared]
    parts = [f"## macfleet {' '.join(path)}\n", f"```\n{usage}\n```\n", f"{described}\n"]
    if own:
        parts.append(_options_table(own))
    if len(own) < len(options):
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
            rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    return "\n".join(["| option | meaning |\n|---|---|", *rows, ""])


def _anchor(path: tuple[str, ...]) -> str:
    return "-".join(("macfleet", *path))


# --- pydantic ----------------------------------------------------------------------------------------------


def _model_table(model: type[BaseModel], defaults: Mapping[str, str] | None = None) -> str:
    schema = model.model_json_schema()
    loose = _read_before(model)
    rows = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        shape = _shape(schema["properties"][key], schema.get("$defs", {}))
        default = (defaults or {}).get(name) or _default(field.get_default(call_default_factory=True), field)
        if name in loose and shape == "a number":
            shape = "a time"
            default = default if field.is_required() else f"`{_time(field.default)}`"
        elif name in loose and shape == "a whole number":
            shape = "a size"
        rows.append(f"| `{key}` | {shape} | {default} | {_cell(field.description or '')} |")
    return "\n".join(["| key | value | default | meaning |\n|---|---|---|---|", *rows, ""])


def _read_before(model: type[BaseModel]) -> set[str]:
    """Return fields whose text is read before it becomes a number: sizes and times."""
    readers = {"_bytes", "_size", "_seconds"}
    decorated = {
        name
        for reader, each in model.__pydantic_decorators__.field_validators.items()
        if reader in readers
        for name in each.info.fields
    }
    typed = {
        name
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, BeforeValidator) and getattr(mark.func, "__name__", "") in readers
    }
    return decorated | typed


def _time(seconds: float) -> str:
    """Return a time as it is written in YAML."""
    sizes = ((86400, "d"), (3600, "h"), (60, "m"))
    return next(
        (f"{seconds // size:g}{unit}" for size, unit in sizes if seconds % size == 0), f"{seconds:g}s"
    )


def _shape(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:  # noqa: PLR0911 (a return a shape)
    """Return what a value looks like, in words."""
    if "$ref" in schema:
        return _shape(named[str(schema["$ref"]).rpartition("/")[2]], named)
    if "allOf" in schema:
        return _shape(schema["allOf"][0], named)
    if "anyOf" in schema:
        shapes = [_shape(each, named) for each in schema["anyOf"] if each.get("type") != "null"]
        return ", or ".join(dict.fromkeys(shapes))
    if "enum" in schema:
        return " or ".join(f"`{each}`" if each else "empty" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"a list of {_plural(_shape(schema.get('items', {}), named))}"
    words = {
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "object": "a mapping",
    }
    return words.get(str(schema.get("type")), "anything")


def _plural(shape: str) -> str:
    return {"a mapping": "mappings", "anything": "items", "a whole number": "whole numbers"}.get(shape, shape)


def _default(value: Any, field: Any) -> str:  # noqa: PLR0911 (a return a type)
    if field.is_required():
        return "required"
    if value is None or value == "" or (not isinstance(value, bool | int | float | str) and not value):
        return "none"
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _nested(model: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    return [
        (name, found) for name, field in model.model_fields.items() for found in _models_in(field.annotation)
    ]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


# --- gates -------------------------------------------------------------------------------------------------


def _gate_params(kind: str) -> type[BaseModel] | None:
    name = "".join(part.capitalize() for part in kind.split("_")) + "Params"
    found = getattr(gate_kinds, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


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


# --- words -------------------------------------------------------------------------------------------------


def _doc(thing: type | Callable[..., object]) -> str:
    text = (thing.__doc__ or "").partition("\n\n    Attributes:")[0]
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split()))


def _first(text: str) -> str:
    """Return the first sentence."""
    found = re.match(r".+?[.](?= [A-Z]|$)", " ".join(text.split()))
    return found[0] if found else text


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write every page that differs and name it."""
    for name, text in pages().items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"docs/{name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
