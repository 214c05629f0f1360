"""From blank nodes to one comparison, again without a change, and back after three edits by hand."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.lab

STAGES = ["provision", "contract", "images", "layout", "network", "loadtest"]
# The only reason a load test in a lab may give for not being valid: this machine had other work to do.
BUSY = re.compile(
    r"(bare|container) short×[14] INVALID: segment \d+: "
    r"(the client's own loop was [\d.]+ ms late \(p99\), more than [\d.]+ ms"
    r"|other work held the machine: the client was given no CPU for \d+% of the time before its first request, "
    r"more than \d+%)"
)


def stages(said):
    """The documents of a `rollout all` by stage; stage 3 may come twice, the last counts."""
    (document,) = said.documents
    return {each["stage"]: each for each in document["stages"]}


def pending(node):
    return [change["address"] for change in node["plan"]["pending"]]


def test_blank_nodes_serve_and_are_measured_by_one_command(fleet, rolled_out):
    done = stages(rolled_out)
    assert list(done) == STAGES, rolled_out.stdout + rolled_out.stderr
    for stage in STAGES[:-1]:
        assert done[stage]["exit_code"] == 0, done[stage]
    provisioned = {node["node"]: node for node in done["provision"]["nodes"]}
    assert [node["outcome"] for node in provisioned.values()] == ["changed", "changed"]
    assert "colima_instance.default" in provisioned["mac-02"]["changed"]
    loadtest = done["loadtest"]
    assert [node["node"] for node in loadtest["nodes"]] == ["mac-01", "mac-02"]
    reasons = [
        reason
        for node in loadtest["nodes"]
        for verdict in node["verdicts"]
        if verdict["outcome"] != "pass"
        for reason in verdict["reasons"]
    ]
    assert all(BUSY.fullmatch(reason) for reason in reasons), reasons
    assert rolled_out.exit == loadtest["exit_code"] == (7 if reasons else 0)
    assert all(fleet.read(f"{name}.lock") for name in ("images", "network", "weights"))


def test_every_run_is_sealed_and_an_edit_of_one_is_found(serving, tmp_path):
    verified = serving("run", "verify", "--output", "json").document["runs"]
    kept = sorted(path.name for path in (serving.folder / ".macfleet" / "runs").iterdir())
    assert [run["run"] for run in verified] == kept
    assert len(kept) >= len(STAGES)
    assert not [run for run in verified if run["problems"]]
    copy = serving.twin(tmp_path / "fleet")
    newest = copy.folder / ".macfleet" / "runs" / kept[-1]
    newest.mkdir(parents=True)
    for path in (serving.folder / ".macfleet" / "runs" / kept[-1]).glob("*.json"):
        (newest / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (newest / "results.json").write_text("{}", encoding="utf-8")
    said = copy("run", "verify", exits=7)
    assert "results.json is damaged" in said.text


def test_the_comparison_has_both_nodes_and_a_verdict_each(serving):
    table = serving("compare").stdout
    assert {"mac-01", "mac-02"} <= set(table.split())
    assert "tokens/s · container" in table
    found = serving("compare", "--output", "json").document
    assert (found["schema"], found["kind"]) == (1, "comparison")
    assert "lab" in found["simulated"][0]
    assert [column["node"] for column in found["columns"]] == ["mac-01", "mac-02"]
    for column in found["columns"]:
        cells = {(cell["arm"], cell["cell"]) for cell in column["cells"]}
        assert cells == {(arm, f"short×{c}") for arm in ("bare", "container") for c in (1, 4)}
        assert all(cell["ok"] == cell["n"] > 0 for cell in column["cells"])
        assert column["short"]
        assert column["judgements"]
    assert found["environment"]["images"] == "identical"
    markdown = serving("compare", "--format", "md").stdout
    assert markdown.startswith("# Comparison")


def test_a_second_rollout_changes_nothing_and_measures_nothing(serving, rolled_out):
    before = sorted((serving.folder / ".macfleet" / "runs").iterdir())
    duration = rolled_out.words[rolled_out.words.index("--duration") + 1]
    if rolled_out.exit:  # a busy machine: stage 5 has no valid evidence and would be measured again
        again = serving("rollout", "all", "--check", "--output", "json", "--duration", duration)
    else:
        again = serving("rollout", "all", "--yes", "--output", "json", "--duration", duration)
    for stage, document in stages(again).items():
        assert not any(map(pending, document["nodes"])), document
        if stage != "loadtest" or not rolled_out.exit:
            assert [node["outcome"] for node in document["nodes"]] == ["current", "current"], document
    assert sorted((serving.folder / ".macfleet" / "runs").iterdir()) == before


def test_an_unchanged_node_costs_two_scripts_a_stage_at_most(serving, nodes):
    nodes.login("mac-01", "echo 'print -r x >> ~/logins' > ~/.zshenv")
    try:
        serving("rollout", "stage3", "--output", "json")
        counted = len(nodes.login("mac-01", "cat ~/logins").stdout.split()) - 1
    finally:
        nodes.login("mac-01", "rm -f ~/.zshenv ~/logins")
    assert 1 <= counted <= 2


def test_three_edits_by_hand_are_shown_alone_and_mended_alone(serving, nodes):
    name = "mac-01"
    nodes.brewed(
        name,
        "chmod 600 ~/macfleet/engine.env; docker kill chat-engine-1; echo '# by hand' >> ~/macfleet/compose.yaml",
    )
    wanted = [
        "file./Users/ops/macfleet/compose.yaml",
        "file./Users/ops/macfleet/engine.env",
        "compose_project.chat",
    ]
    before = nodes.snapshot()
    checked = serving("rollout", "stage3", "--check", "--output", "json", exits=3).nodes()
    assert nodes.snapshot() == before
    assert pending(checked[name]) == wanted
    assert pending(checked["mac-02"]) == []
    changes = {change["address"]: change for change in checked[name]["plan"]["pending"]}
    assert [field["field"] for field in changes[wanted[0]]["fields"]] == ["sha256"]
    assert changes[wanted[1]]["fields"] == [{"field": "mode", "before": "0600", "after": "0644"}]
    assert "killed" in changes[wanted[2]]["reason"]
    mended = serving("rollout", "stage3", "--output", "json").nodes()
    assert mended[name]["changed"] == wanted
    assert (mended["mac-02"]["outcome"], mended["mac-02"]["changed"]) == ("current", [])
    after = serving("rollout", "stage3", "--output", "json").nodes()
    assert [node["outcome"] for node in after.values()] == ["current", "current"]
    assert "by hand" not in nodes.login(name, "cat ~/macfleet/compose.yaml").stdout


def test_every_output_in_json_is_versioned(serving):
    for words in (("rollout", "status"), ("inventory", "list"), ("facts", "-l", "mac-01"), ("run", "list")):
        assert serving(*words, "--output", "json").document["schema"] == 1
