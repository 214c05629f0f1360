"""The command itself: what it imports, suggests, prints and ends with."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from macfleet.cli import main as main_module
from macfleet.cli.commands import COMMANDS
from macfleet.cli.fleet import FleetContext

SOURCE = Path(__file__).parents[2] / "src"
HEAVY = {
    "fabric",
    "httpx",
    "invoke",
    "jinja2",
    "numpy",
    "paramiko",
    "polars",
    "pydantic",
    "rich",
    "scipy",
    "sqlalchemy",
    "yaml",
}


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(SOURCE), **more}


def imported_by(*arguments):
    """Modules in memory after a command ended."""
    script = (
        "import sys\nfrom macfleet.__main__ import main\nsys.argv[1:] = sys.argv[1:]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=60,
    )
    return set(done.stderr.splitlines())


def test_help_imports_the_table_of_commands_and_nothing_behind_it():
    found = imported_by("--help")
    assert {name for name in found if name.startswith("macfleet")} == {
        "macfleet",
        "macfleet.__main__",
        "macfleet.cli",
        "macfleet.cli.commands",
        "macfleet.cli.kept_code",
        "macfleet.cli.main",
        "macfleet.model",
        "macfleet.model.diagnostic",
        "macfleet.model.exit_codes",
    }
    assert {name.partition(".")[0] for name in found} & HEAVY == set()


@pytest.mark.parametrize("command", ["rollout", "plan", "init", "facts"])
def test_the_help_of_a_command_imports_nothing_heavy(command):
    found = imported_by(command, "--help")
    assert {name.partition(".")[0] for name in found} & (HEAVY - {"rich"}) == set()


def test_help_lists_every_command_with_what_it_does(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for name, entry in COMMANDS.items():
        assert name in out
        assert entry.help.endswith(".")
    assert "macfleet init my-fleet" in out


def leaves():
    """Every command and subcommand by its full name."""

    def below(name, command):
        if isinstance(command, click.Group):
            for each, found in sorted(command.commands.items()):
                yield from below(f"{name} {each}", found)
        else:
            yield name, command

    for name, entry in COMMANDS.items():
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        yield from below(name, command)


LEAVES = dict(leaves())


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_command_has_help_with_an_example_of_itself(name, run):
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    assert re.search(rf"Examples?: macfleet {name}\b", " ".join(out.split()))


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_command_answers_as_json_and_those_on_a_fleet_share_their_options(name):
    options = {option for parameter in LEAVES[name].params for option in parameter.opts}
    forms = next(found.type.choices for found in LEAVES[name].params if "--output" in found.opts)
    assert tuple(forms[:2]) == ("human", "json")
    if "--fleet" in options:
        assert {"--output", "--inventory", "-i", "--forks", "--verbose", "-v"} <= options
    if "--limit" in options:
        assert "-l" in options


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("rolout", "rollout"), ("invntory", "inventory"), ("imgae", "image"), ("compair", "compare")],
)
def test_a_typing_error_is_answered_with_the_nearest_command(run, typed, meant):
    code, out, err = run(typed)
    assert (code, out) == (2, "")
    assert f'There is no command "{typed}". Did you mean "{meant}"?' in err


def test_what_is_near_nothing_leads_to_the_help(run):
    code, _, err = run("xyzzy")
    assert (code, "macfleet --help" in err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollout", "stage9"),
        ("rollout", "stage3", "--no-such"),
        ("plan",),
        ("rollout", "stage1", "--forks", "x"),
    ],
)
def test_wrong_usage_is_exit_2_without_a_traceback(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert "Usage:" in err


def test_a_folder_that_is_no_fleet_is_a_diagnostic(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MACFLEET_FLEET", raising=False)
    code, out, err = run("plan", "playbooks/site.yml")
    assert (code, out) == (2, "")
    assert err.startswith("error[E0110]: this is not a fleet folder\n")
    assert "macfleet init my-fleet" in err


@pytest.mark.parametrize("option", [("--output", "json"), ("--output=json",)])
def test_an_error_as_json_is_one_versioned_document(run, tmp_path, option):
    code, out, _ = run("plan", "playbooks/site.yml", "--fleet", str(tmp_path), *option)
    document = json.loads(out)
    assert code == 2
    assert (document["schema"], document["kind"]) == (1, "diagnostics")
    (found,) = document["diagnostics"]
    assert (found["code"], found["exit_code"], found["severity"]) == ("E0110", 2, "error")
    assert str(tmp_path) in found["why"]


def shell(command, **more):
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {command}"],
        env=environment(PY=sys.executable, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("--help", 0), ("rollout --help", 0), ("--version", 0), ("inventory list", 0), ("contract show", 0)],
)
def test_a_reader_that_goes_away_is_no_error(made, arguments, code):
    # The reader is gone for certain before anything is written.
    script = f'exec 3> >(:); wait $!; cd "$FLEET"; "$PY" -m macfleet {arguments} >&3'
    gone = shell(script, FLEET=str(made))
    assert (gone.returncode, gone.stderr) == (code, "")


@pytest.mark.parametrize("form", ["human", "json", "ndjson"])
@pytest.mark.parametrize("streams", [">&3", "2>&3", ">&3 2>&3", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_ends_as_it_would_when_nobody_reads_what_it_tells(fleet, form, streams):
    script = f'exec 3> >(:); wait $!; "$PY" -m macfleet drift --output {form} {streams}'
    gone = shell(script)
    assert (gone.returncode, "Traceback" in gone.stderr) == (5, False)
    assert "E0001" not in gone.stdout + gone.stderr


@pytest.mark.parametrize(
    "arguments", ["--help", "explain E0310", "inventory list", "inventory list --output json", "drift"]
)
def test_a_full_disk_under_the_output_is_an_error_that_says_so(fleet, arguments):
    full = shell(f'"$PY" -m macfleet {arguments} >/dev/full')
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert not re.search(r"E0001|Traceback", full.stderr)


def test_a_full_disk_under_the_progress_does_not_end_the_command(fleet):
    full = shell('"$PY" -m macfleet drift --output json 2>/dev/full')
    assert (full.returncode, json.loads(full.stdout)["exit_code"]) == (5, 5)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_document_is_json_in_an_encoding_that_lacks_its_letters(fleet, encoding):
    (fleet / "inventory/hosts.yml").write_text("all: {hosts: {'mäc–😀': {}}}\n")
    told = subprocess.run(
        [sys.executable, "-m", "macfleet", "inventory", "list", "--output", "json"],
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=False,
        timeout=60,
    )
    found = json.loads(told.stdout.decode(encoding))["diagnostics"]
    assert told.returncode == 2
    assert any("mäc–😀" in each["summary"] for each in found)


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("plan",), "PLAYBOOK"),
        (("rollout", "stage9"), "stage9"),
        (("rolout",), "Did you mean"),
        (("facts", "--forks", "x"), "--forks"),
    ],
)
def test_wrong_usage_is_a_document_too_where_json_was_asked_for(run, arguments, about):
    code, out, err = run(*arguments, "--output", "json")
    document = json.loads(out)
    (found,) = document["diagnostics"]
    assert (code, document["kind"], found["code"], found["exit_code"]) == (2, "diagnostics", "E0004", 2)
    assert about in found["summary"]
    assert found["mend"].startswith("macfleet")
    assert found["mend"].endswith("--help")
    assert "Usage:" in err


def test_output_that_is_not_a_terminal_has_no_colour(tmp_path):
    done = shell(f'"$PY" -m macfleet plan x --fleet {tmp_path}', FORCE_COLOR="1")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr + done.stdout


def test_an_interrupt_is_exit_130_without_a_traceback():
    script = (
        "import click, macfleet.cli.commands as c, sys, types\n"
        "module = types.ModuleType('stopped')\n"
        "@click.command()\n"
        "def stop():\n    raise KeyboardInterrupt\n"
        "module.stop = stop; sys.modules['stopped'] = module\n"
        "c.COMMANDS['stop'] = c.Entry('stopped', 'stop', 'Stop.')\n"
        "from macfleet.cli.main import main\nmain(['stop'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EMFILE])
def test_what_the_machine_refuses_is_no_bug_and_names_the_file(fleet, run, monkeypatch, number):
    def refused(_fleet):
        raise OSError(number, os.strerror(number), f"{fleet}/.macfleet/runs/r1.partial")

    monkeypatch.setattr(FleetContext, "state", property(refused))
    code, _, told = run("history")
    assert (code, "E0002" in told, "E0001" in told) == (1, True, False)
    assert (".macfleet/runs/r1.partial" in told, os.strerror(number) in told) == (True, True)


def test_an_end_of_file_from_inside_is_a_bug_and_no_interrupt(run, monkeypatch):
    def broken(_context):
        raise EOFError

    monkeypatch.setattr(main_module.cli, "invoke", broken)
    code, _, err = run("ping")
    assert (code, "E0001" in err, "Interrupted" in err) == (1, True, False)
