import pytest

from macfleet.model.run import RunManifest
from macfleet.views.runs import run_lines


def manifest(kind, arms=()):
    return RunManifest(
        id=f"20261123T041205Z-{kind}-1a2b", kind=kind, stage=kind, contract="c", sent="s", git_commit="",
        git_dirty=True, nodes=("mac-01", "mac-02", "mac-03"), arms=arms, vantage="", started="", finished="",
        who="ops", why="", client_version="0",
    )  # fmt: skip


RUNS = (manifest("rollout"), manifest("loadtest", ("bare", "container")))


def test_only_a_run_that_measured_is_too_short():
    head, rollout, loadtest = run_lines(RUNS, (), 0, {RUNS[0].id: ["signed"]})
    assert head.split() == ["run", "kind", "nodes", "arms"]
    assert rollout.split()[1:] == ["rollout", "mac-01", "and", "2", "more", "signed"]
    assert loadtest.split()[1:] == ["loadtest", "mac-01", "and", "2", "more", "bare,", "container", "short"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_runs_fit_the_terminal_and_no_word_is_cut(width):
    shown = list(run_lines(RUNS, ("20261124T041205Z-site-3c4d",), width))
    assert max(map(len, shown)) <= max(
        width, len("! 20261124T041205Z-site-3c4d was begun and never finished")
    )
    assert "macfleet run show 20261124T041205Z-site-3c4d" in " ".join(line.strip() for line in shown)
    assert "container" in " ".join(shown)


def test_a_fleet_without_runs_says_so():
    assert list(run_lines((), (), 80)) == ["No run was recorded yet."]
