"""What can be signed, and every reason why something else cannot."""

import json
import subprocess
from dataclasses import replace

import pytest
from click.testing import CliRunner

from macfleet.analysis.summaries import summary_document
from macfleet.cli.compare import compare as compare_command
from macfleet.cli.compare import run as run_group
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.reports.headline import inconclusive
from macfleet.reports.signable import unsignable
from macfleet.store.folder_runs import FolderRuns
from macfleet.testing.synthetic import SyntheticArm

NODE = "mac-01"
FILES = (
    "verdicts.json",
    f"nodes/{NODE}/facts.json",
    f"nodes/{NODE}/segments.json",
    f"nodes/{NODE}/series.parquet",
    f"nodes/{NODE}/bare/samples.parquet",
    f"nodes/{NODE}/container/samples.parquet",
)
STOPPED = {NODE: False}


def long_enough(cells):
    return tuple(replace(cell, minutes=30.0) for cell in cells)


@pytest.fixture
def make_whole(make_run):
    """A run that can be signed; keyword arguments spoil it."""

    def make(*arms, cells=long_enough, files=FILES, **changes):
        facts = {"accelerators": {"bare": "cpu", "container": "cpu"}, **changes.pop("facts", {})}
        return make_run(*arms, cells=cells, files=dict.fromkeys(files, "0" * 64), facts=facts, **changes)

    return make


def reasons(run, vm=STOPPED):
    found = unsignable(run, vm)
    assert {each.exit_code for each in found} <= {ExitCode.HELD}
    assert all(each.mend for each in found)
    return [(each.code, each.summary.removeprefix("cannot be signed: ")) for each in found]


def test_a_long_valid_clean_run_can_be_signed(make_whole):
    assert reasons(make_whole()) == []


def test_a_short_cell_cannot_be_signed_whatever_the_manifest_claims(make_whole):
    def one_short(cells):
        return (replace(cells[0], minutes=29.9), *long_enough(cells[1:]))

    assert reasons(make_whole(cells=one_short, short=False)) == [
        ("E0974", "bare short×1 is short: 29.9 minutes")
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"git_dirty": True}, ("E0971", "the fleet folder had uncommitted changes")),
        ({"git_commit": "", "git_dirty": True}, ("E0971", "the fleet folder was not a git repository")),
        ({"facts": {"simulated": True}}, ("E0972", "mac-01 is simulated and the manifest does not say so")),
        ({"files": FILES[:-1]}, ("E0973", "nodes/mac-01/container/samples.parquet is missing")),
        ({"files": FILES[1:]}, ("E0973", "verdicts.json is missing")),
        (
            {"facts": {"accelerators": {"bare": "cpu", "bare-cpu": "cpu", "container": "cpu"}}},
            ("E0973", "arm bare-cpu was not measured"),
        ),
        ({"kind": "rollout"}, ("E0970", "a run of kind rollout is not signed")),
    ],
)
def test_each_fault_of_a_run_is_a_reason(make_whole, changes, expected):
    assert reasons(make_whole(**changes)) == [expected]


def test_simulated_nodes_are_signed_only_as_simulated(make_whole):
    assert reasons(make_whole(facts={"simulated": True}, simulated=("a lab",))) == []


@pytest.mark.parametrize(
    ("vm", "said"),
    [
        ({NODE: True}, "the VM was up in the bare arm"),
        ({NODE: None}, "nothing says whether the VM was up in the bare arm"),
        ({}, "nothing says whether the VM was up in the bare arm"),
    ],
)
def test_a_vm_that_was_not_proven_stopped_in_the_bare_arm_is_a_reason(make_whole, vm, said):
    assert reasons(make_whole(), vm) == [("E0977", said)]


def test_a_node_without_a_bare_arm_is_not_asked_about_its_vm(make_whole):
    run = make_whole(
        SyntheticArm("container", iowait=3, memory=60), facts={"accelerators": {"container": "cpu"}}
    )
    assert "E0977" not in [code for code, _ in reasons(run, {})]


def test_the_front_of_host_engine_needs_the_vm_that_must_be_down_in_the_bare_arm(make_whole):
    arms = (SyntheticArm("bare"), SyntheticArm("host-engine"))
    run = make_whole(*arms, facts={"accelerators": {"bare": "metal", "host-engine": "metal"}})
    assert "E0977" in [code for code, _ in reasons(run, {NODE: True})]
    assert "E0977" not in [code for code, _ in reasons(run)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"invalid": ("the client was late",)}, ("E0975", "bare short×1 is INVALID: the client was late")),
        ({"n": 100}, ("E0976", "bare short×1 is inconclusive: 9 more minutes (n 100)")),
        ({"memory": None}, ("E0973", "bare short×1: host memory was not sampled")),
    ],
)
def test_each_fault_of_a_judged_cell_is_a_reason(make_whole, change, expected):
    def spoil(cells):
        first, *rest = long_enough(cells)
        return (replace(first, **change), *rest)

    assert expected in reasons(make_whole(cells=spoil))


def test_reasons_of_one_kind_are_joined(make_whole):
    def two_short(cells):
        return (*(replace(cell, minutes=5.0) for cell in cells[:2]), *long_enough(cells[2:]))

    assert reasons(make_whole(cells=two_short)) == [
        ("E0974", "bare short×1 is short: 5.0 minutes; bare short×4 is short: 5.0 minutes")
    ]


def test_a_cell_that_only_one_arm_has_is_a_reason(make_whole):
    assert ("E0973", "container short×4 was not measured") in reasons(
        make_whole(cells=lambda cells: long_enough(cells[:-1]))
    )


def test_a_threshold_that_measuring_did_not_settle_is_a_reason(make_whole):
    arms = (SyntheticArm("bare", rate=50), SyntheticArm("container", rate=38.75, iowait=20, psi=1, memory=71))
    found = dict(reasons(make_whole(*arms, spec={"run_spread": 0.05})))
    assert found["E0976"].startswith("mounts-first is inconclusive")


def test_all_reasons_are_given_at_once(make_whole):
    run = make_whole(cells=lambda cells: cells, git_dirty=True)
    assert {code for code, _ in reasons(run, {NODE: True})} == {"E0971", "E0974", "E0977"}


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def stored(fleet, make_whole):
    """Write a run that can be signed, its files and VM state included, into the fleet's store."""

    def write(**changes):
        run = make_whole(**changes)
        writer = FolderRuns(fleet / ".macfleet" / "runs").create(run.manifest.id)
        writer.json("summary.json", summary_document(run.cells))
        for path in run.manifest.files:
            writer.json(path, run.facts[NODE] if path.endswith("facts.json") else {})
        writer.json(f"nodes/{NODE}/vm.json", {"schema": 1, "vm_during_bare": False})
        writer.finish(run.manifest)
        return run.manifest.id

    return write


def invoke(fleet, *arguments):
    return CliRunner().invoke(run_group, [*arguments, "--fleet", str(fleet)], standalone_mode=False)


def test_a_run_is_signed_verified_exported_and_imported_elsewhere(tmp_path, fleet, stored, key):
    run_id = stored()
    allowed = tmp_path / "signers"
    allowed.write_text(f"ops@example {key.with_suffix('.pub').read_text()}")
    assert "signed (ED25519 SHA256:" in invoke(fleet, "sign", run_id, "--key", str(key)).stdout
    verified = invoke(fleet, "verify", run_id, "--allowed-signers", str(allowed))
    assert verified.return_value == 0
    assert "signed by ops@example" in " ".join(verified.stdout.split())
    (fleet / "allowed_signers").write_text(allowed.read_text())
    compared = CliRunner().invoke(compare_command, ("--fleet", str(fleet)), standalone_mode=False).stdout
    assert f"{run_id}/summary.json · signed by ops@example" in compared
    bundle = tmp_path / "run.tar"
    assert invoke(fleet, "export", run_id, str(bundle)).return_value == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "macfleet.yml").write_text("name: other\n")
    assert invoke(other, "import", str(bundle), "--allowed-signers", str(allowed)).return_value == 0
    assert invoke(other, "verify", run_id).return_value == 0
    assert "signed, imported" in " ".join(invoke(other, "list").stdout.split())
    document = json.loads(invoke(other, "import", str(bundle), "--output", "json").stdout)
    assert (document["run"], document["new"]) == (run_id, False)


def test_an_imported_run_is_compared_only_when_it_is_named(tmp_path, fleet, stored):
    run_id = stored()
    invoke(fleet, "export", run_id, str(tmp_path / "run.tar"), "--unsigned")
    other = tmp_path / "other"
    other.mkdir()
    (other / "macfleet.yml").write_text("name: other\n")
    invoke(other, "import", str(tmp_path / "run.tar"))
    options = ("--fleet", str(other), "--output", "json")
    unnamed = CliRunner().invoke(compare_command, options, standalone_mode=False)
    assert unnamed.exception.diagnostics[0].code == "E1002"
    named = CliRunner().invoke(compare_command, (run_id, *options), standalone_mode=False)
    assert json.loads(named.stdout)["columns"][0]["run"] == run_id


def test_what_a_strangers_run_says_cannot_command_the_terminal(fleet, stored):
    run_id = stored(why="\x1b[2J")
    for command in ("list", "show"):
        arguments = (command,) if command == "list" else (command, run_id)
        assert "\x1b" not in invoke(fleet, *arguments).stdout


def test_a_refused_signature_gives_every_reason_and_leaves_nothing(fleet, stored, key):
    run_id = stored(git_dirty=True, cells=lambda cells: cells)
    result = invoke(fleet, "sign", run_id, "--key", str(key))
    assert isinstance(result.exception, MacfleetError)
    assert {each.code for each in result.exception.diagnostics} == {"E0971", "E0974"}
    assert result.exception.exit_code == ExitCode.HELD
    assert not (fleet / ".macfleet" / "runs" / run_id / "signature").exists()


def test_an_unsigned_run_is_exported_only_as_such(tmp_path, fleet, stored):
    run_id = stored()
    result = invoke(fleet, "export", run_id, str(tmp_path / "run.tar"))
    assert result.exception.diagnostics[0].code == "E0968"
    shown = invoke(fleet, "export", run_id, str(tmp_path / "run.tar"), "--unsigned").stdout
    assert "unsigned" in shown


def test_verify_with_allowed_signers_demands_a_signature(tmp_path, fleet, stored, key):
    allowed = tmp_path / "signers"
    allowed.write_text(f"ops@example {key.with_suffix('.pub').read_text()}")
    result = invoke(fleet, "verify", stored(), "--allowed-signers", str(allowed))
    assert result.return_value == ExitCode.HELD
    assert "E0968" in result.stdout


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (None, "inconclusive"),
        (0.2, "inconclusive: 1 more minute"),
        (1.2, "inconclusive: 2 more minutes"),
        (1234, "inconclusive: 1,234 more minutes"),
    ],
    ids=["unknown", "one", "two", "many"],
)
def test_the_minutes_that_lack_are_rounded_up_and_counted_in_words(minutes, words):
    assert inconclusive(minutes) == words
