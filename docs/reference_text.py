"""The prose of the generated reference pages."""
# ruff: noqa: INP001  (read by the script beside it)

from __future__ import annotations

from macfleet.model.exit_codes import ExitCode

NOTE = "<!-- Written by docs/generate.py from the code; edit that, then run `make docs`. -->\n"

PLAYBOOK_KEYS = """\
## All keys

<!-- From here on written by docs/generate.py from the code; edit that, then run `make docs`. -->
"""

EVENTS = f"""\
# Events

{NOTE}
`rollout`, `plan`, `apply`, `drift` and `drain` tell what happens while it happens. With `--output json` the
result is one document on stdout and the events are lines of JSON on stderr; with `--output ndjson` both are
lines on stdout, the result last: its `kind` is `rollout`, `rollout-all`, or `diagnostics` when there is
none.

Every line has `schema` (1), `kind`, `node` (empty when it is about none) and `at` (RFC 3339, UTC), and what
its kind says here. New kinds, and keys that may be missing, can be added to schema 1; nothing is taken
away. As JSON Schema: [events.schema.json](events.schema.json)."""

ANSIBLE_WORDS = """\
## Words from Ansible

Refused with what says the same here:

| word | here |
|---|---|"""

ANSIBLE_NAMES = """
Names that an expression has not, and what it has instead:

| name | here |
|---|---|"""

MEANINGS = {
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


CLI = f"""# The command line

{NOTE}
`macfleet [--debug] COMMAND`. The result goes to stdout, progress and prose to stderr. What the exit code
says: [exit codes](exit-codes.md). An error is a diagnostic: what, where, why, and what to type next; all of
them are shown, not the first.
"""
CLI_OPTIONS = """## Options of every command on a fleet

The fleet folder is found upwards from the working directory, or named by `--fleet`, or by the variable
`MACFLEET_FLEET`. `-i` names an inventory source instead of those of `macfleet.yml` and may be repeated.
`--output json` prints one document with `schema` and `kind`, also when the command line is not understood.

What a command does to nodes never depends on who reads it: a closed pipe, a terminal that went away and a
disk that is full under the output end nothing, and the exit code is the one it would have been; only output
that could not be written makes it 1 (E0003). Colour and lines drawn anew need a terminal; `NO_COLOR`,
`TERM=dumb` and a pipe get plain lines. In a pipe nothing is folded, elsewhere to the terminal or `COLUMNS`.
"""
CLI_NODES = """## Selecting nodes

`--limit` takes terms separated by commas or by colons: a node, a group, a glob `mac-*`, a range
`mac-[01:10]` (both ends included), a regular expression `~mac-.5`, a position `chat[0:2]`, `@failed` (nodes
that did not end well in the newest run) or `@FILE` (a term a line). `&term` keeps only what is in it too,
`!term` takes it away. Ownership, chip, pool, provider, site, environment and state are groups without being
written down. A term that matches nothing is an error.
"""
RESOURCES = f"""# Resources

{NOTE}
A task of a playbook or a role names one resource kind with its parameters. A resource has a unique address on
a node; a second one with the same address is refused, as are two that decide what stands at the same path.
`needs:` orders resources; what follows from the parameters is inferred, such as a file after the directory it
lies in.

`state: absent` takes a thing away, but only what macfleet would have made: no folder in place of a file, no
folder that holds something, unless that is said. What macfleet refuses to change is shown as `!` with the
reason.

A size is a number of bytes, or text such as `12GiB`; a time is a number of seconds, or text such as `2m`.
"""
GATES = f"""# Gates

{NOTE}
A gate says which evidence it needs and judges it as a pure function. It passes, holds or fails a node;
evidence that is missing holds, it never passes. A gate judged *before* looks at the node as it is: `--check`
shows it, and a hold leaves the node alone. One judged *after* needs what applying or measuring left.
*Not applicable* is what a gate says of an arm the inventory does not declare.

Two verdicts need no line in a playbook: `provisioned` (nothing of `playbooks/site.yml` is pending) and
`predecessor` (every earlier stage has evidence that passed, is young, and is about what is wanted now).
"""
EXIT_ORDER = """
When several apply, the first of this order wins: {order}. So one code tells a script what to do about a
command on many nodes, and the text tells a person about each node.

## How a node's end becomes a code

| a stage ended for the node | code |
|---|---|"""
EXIT_OUTCOMES = """
`current`: evidence with the same key is younger than seven days and the plan is empty. `pending`: what
`--check` says of a node that would be changed. `not reached`: a node of a wave that did not start because
`max_failures` was met.
"""
SETTINGS = f"""# Settings and inventory variables

{NOTE}
## macfleet.yml

The file that makes a folder a fleet folder. `macfleet inventory show --settings` says what decided each
setting: flag, environment (`MACFLEET_FLEET`, `MACFLEET_INVENTORY`, `MACFLEET_STATE`, `MACFLEET_FORKS`), file,
default.
"""
VARIABLES = """## Sources

What `inventory:` or `-i` names, once or more, later ones winning over earlier ones:

- A hosts file in YAML (`.yml`, `.yaml`, `.json`): `macfleet docs inventory` prints one.
- A hosts file in INI (`.ini`, or no ending):

```ini
[minis]
mac-[01:02] chip=m4 memory=24GiB
mac-03:2222 ansible_host=203.0.113.13

[serving:children]
minis

[serving:vars]
pool=chat
```

- A program, executable and without the ending of a hosts file. It is run in the fleet folder with `--list`,
  may take a minute, and prints JSON; `_meta.hostvars` must be there, so that one call is enough:

```json
{
  "serving": {"hosts": ["mac-01", "mac-02"], "vars": {"pool": "chat"}, "children": ["hired"]},
  "hired": ["rent-01"],
  "_meta": {"hostvars": {"rent-01": {"chip": "m4-pro", "ownership": "rented"}}}
}
```

- A folder of these, read in the order of their names. Hidden files and names that end like backups or text
  (`.bak`, `.md`, `.txt`, `.cfg` …) are passed over; linked folders are entered.

Beside what is named, `group_vars/GROUP.yml` (or `GROUP`, `GROUP.json`, a folder `GROUP/`) and
`host_vars/NODE.yml` hold variables. all < parent < child < node, wherever they are written; within one
group or node `vars:` and entries of the sources in their order, then the files. Groups that are not above
one another must agree, or be ranked by `ansible_group_priority`. How this differs from Ansible:
[divergences](inventory-divergences.md).

## Variables of a node

What macfleet itself reads from `hosts.yml`, `group_vars/` and `host_vars/`. Another variable must be declared
in a role's defaults or under `variables:` of `macfleet.yml`, else it is refused with the nearest known name.
`macfleet inventory explain NODE.VARIABLE` shows every place that gives a variable a value, the strongest
first, with file and line: groups and the node itself, `macfleet.yml`, and what roles and playbooks give
within themselves.
"""
