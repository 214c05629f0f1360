import json

import pytest

from macfleet.contract.load import load_contract
from macfleet.model.run import RunManifest
from macfleet.sources.disk import DiskFiles
from macfleet.store.folder_runs import FolderRuns
from macfleet.testing.synthetic import SyntheticArm, synthetic_run


@pytest.fixture
def fleet(run, tmp_path):
    folder = tmp_path / "fleet"
    assert run("init", folder)[0] == 0
    return folder


@pytest.fixture
def slow(fleet):
    """A load test whose container takes a second to its first token, and bare a fifth of it."""
    from macfleet.analysis.cells import summarise
    from macfleet.analysis.summaries import summary_document

    arms = (SyntheticArm("bare"), SyntheticArm("container", first_token=1.0))
    recorded = synthetic_run(arms)
    cells = summarise(recorded.samples, recorded.reports, recorded.series, node="mac-01")
    writer = FolderRuns(fleet / ".macfleet" / "runs").create("20261123T041205Z-stage5-1a2b")
    writer.json("summary.json", summary_document(cells))
    contract = load_contract(DiskFiles(fleet)).hash
    moment = "2026-11-23T05:12:05+00:00"
    writer.finish(
        RunManifest(
            writer.id, "loadtest", "loadtest", contract, "5a" * 32, "abc", False, ("mac-01",),
            ("bare", "container"), "node-loopback", moment, moment, "ops", "", "0.1.0",
        )
    )  # fmt: skip


def test_an_overrun_is_shown_with_its_class_and_held_only_when_that_is_asked_for(run, fleet, slow):
    code, out, _ = run("budget", "report", "--fleet", fleet)
    assert code == 0
    assert "✗ environmental (mounts, VM, noisy neighbours): mac-01: prefill" in out
    assert "not measured" in out
    assert run("budget", "report", "--require", "within", "--fleet", fleet)[0] == 7
    assert run("budget", "report", "--arm", "bare", "--require", "within", "--fleet", fleet)[0] == 0


def test_as_a_document_every_term_is_there(run, fleet, slow):
    code, out, _ = run("budget", "report", "--output", "json", "--fleet", fleet)
    document = json.loads(out)
    assert (code, document["kind"], document["schema"], document["over"]) == (0, "budget", 1, True)
    [node] = document["nodes"]
    outcomes = {each["term"]["name"]: each["outcome"] for each in node["terms"]}
    assert (outcomes["prefill"], outcomes["tls"]) == ("fail", "not applicable")


@pytest.mark.parametrize(
    ("text", "code"), [(None, "E1093"), ("bucket: huge\nconcurrency: 1\nterms: []\n", "E0103")]
)
def test_a_budget_that_is_missing_or_wrong_is_a_usage_error(run, fleet, slow, text, code):
    file = fleet / "contract" / "budget.yml"
    file.unlink() if text is None else file.write_text(text)
    found, _, err = run("budget", "report", "--fleet", fleet)
    assert (found, code in err) == (2, True)


def test_lint_holds_the_budget_against_the_contract(run, fleet):
    assert run("contract", "freeze", "--fleet", fleet)[0] == 0
    file = fleet / "contract" / "budget.yml"
    file.write_text(file.read_text().replace("concurrency: 1", "concurrency: 3"))
    code, out, _ = run("lint", "--output", "json", "--fleet", fleet)
    found = {(each["code"], each["file"]) for each in json.loads(out)["findings"]}
    assert (code, ("E1091", "contract/budget.yml") in found) == (2, True), found
