from __future__ import annotations

import pytest

from macfleet.inventory import load_settings, trace_settings, with_environment
from macfleet.model.diagnostic import MacfleetError

FULL = """\
name: chat fleet
inventory: [inventory/hosts.yml, inventory/rented.yml]
state: postgresql://fleet@db/state
forks: 8
retention: {runs: 90d, events: 12h, keep: 5}
variables:
  rack: {description: where it stands, default: r1}
  note: {description: free text}
"""


def test_a_name_is_all_that_a_fleet_needs(memory):
    settings = load_settings(memory({"macfleet.yml": "name: chat"}), "/fleet")
    assert (settings.root, settings.name) == ("/fleet", "chat")
    assert settings.inventory == ("inventory/hosts.yml",)
    assert settings.state == ".macfleet/state.db"


def test_every_setting_is_read(memory):
    settings = load_settings(memory({"macfleet.yml": FULL}), "/fleet")
    assert settings.inventory == ("inventory/hosts.yml", "inventory/rented.yml")
    assert (settings.state, settings.forks) == ("postgresql://fleet@db/state", 8)
    assert (settings.retention.runs, settings.retention.events, settings.retention.keep) == (
        7_776_000,
        43_200,
        5,
    )
    rack, note = settings.variables["rack"], settings.variables["note"]
    assert (rack.default, rack.has_default, str(rack.where)) == ("r1", True, "macfleet.yml:7:3")
    assert (note.default, note.has_default) == (None, False)


@pytest.mark.parametrize(("line", "kept"), [("", True), ("token_events: false", False)])
def test_token_events_are_kept_unless_the_file_says_otherwise(line, kept, memory):
    settings = load_settings(memory({"macfleet.yml": f"name: a\n{line}\n"}), "/fleet")
    assert settings.token_events is kept


def test_one_source_needs_no_list(memory):
    settings = load_settings(memory({"macfleet.yml": "{name: a, inventory: nodes.yml}"}), "/fleet")
    assert settings.inventory == ("nodes.yml",)


@pytest.mark.parametrize(
    ("text", "summary", "mend"),
    [
        ("nam: x\nname: y", 'unknown key "nam"', 'did you mean "name"?'),
        ("forks: 2", 'key "name" is missing', "Add name:"),
        ("name: a\nforks: 0", "greater than or equal to 1", ""),
        ("name: a\nretention: {runs: soon}", "not a number", ""),
        ("name: a\nretention: {run: 3d}", 'unknown key "run"', 'did you mean "runs"?'),
        ("name: a\nvariables: {x: {default: 1}}", 'key "description" is missing', ""),
        ("name: a\nvariables: {x-y: {description: d}}", "cannot be a variable", ""),
        ("name: 'a/b'", "letters, digits", ""),
        ("- a", "must be a mapping", ""),
    ],
)
def test_wrong_settings_are_refused_with_their_place(memory, text, summary, mend):
    with pytest.raises(MacfleetError) as caught:
        load_settings(memory({"macfleet.yml": text}), "/fleet")
    (found,) = caught.value.diagnostics
    assert summary in found.summary
    assert mend in found.mend
    assert found.where.file == "macfleet.yml"


def test_a_folder_without_settings_is_no_fleet(memory):
    with pytest.raises(MacfleetError) as caught:
        load_settings(memory({}), "/somewhere")
    assert caught.value.diagnostics[0].code == "E0200"
    assert "macfleet init" in caught.value.diagnostics[0].mend


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(memory):
    environment = {"MACFLEET_FORKS": "9", "MACFLEET_STATE": "x.db", "MACFLEET_NAME": "ignored"}
    settings = load_settings(memory({"macfleet.yml": "name: a\nforks: 4"}), "/fleet")
    traced = trace_settings(with_environment(settings, environment), environment, {"forks": "2"})
    assert {each.name: (each.value, each.origin) for each in traced if each.name != "retention"} == {
        "fleet": ("/fleet", "macfleet.yml"),
        "forks": ("2", "--forks"),
        "inventory": ("inventory/hosts.yml", "default"),
        "name": ("a", "macfleet.yml:1:1"),
        "run_deadline": ("24 h 00 min", "default"),
        "state": ("x.db", "$MACFLEET_STATE"),
        "token_events": ("kept", "default"),
    }


@pytest.mark.parametrize("forks", ["many", "0", "-1", "513"])
def test_a_wrong_environment_is_refused(memory, forks):
    settings = load_settings(memory({"macfleet.yml": "name: a"}), "/fleet")
    with pytest.raises(MacfleetError, match="MACFLEET_FORKS"):
        with_environment(settings, {"MACFLEET_FORKS": forks})


def test_the_environment_may_name_several_sources(memory):
    settings = load_settings(memory({"macfleet.yml": "name: a"}), "/fleet")
    assert with_environment(settings, {"MACFLEET_INVENTORY": "a.yml, b.yml"}).inventory == ("a.yml", "b.yml")
