"""A controller that is killed at any moment of stage 3 is gone on with: same end, no step twice."""

import shutil
import time

import pytest
from dying_run import carry_out, fleet_of, killed

from macfleet.model.stage import StageName
from macfleet.store import SqlState

pytestmark = pytest.mark.slow  # controllers in processes of their own

ENTRIES = 9
"""What an undisturbed run of this stage writes to the journal, one or two for each level among it."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A fleet that is through the stages before, and the same place to bring it back to for each case."""
    root = tmp_path_factory.mktemp("survive") / "fleet"
    root.mkdir()
    fleet = fleet_of(root)
    fleet.upto(StageName.LAYOUT)
    (fleet.home("mac-01") / "layout").unlink(missing_ok=True)
    shutil.copytree(root, root.with_name("before"))
    return root


@pytest.fixture
def root(base):
    shutil.rmtree(base)
    shutil.copytree(base.with_name("before"), base)
    return base


@pytest.fixture(scope="module")
def undisturbed(base):
    shutil.rmtree(base)
    shutil.copytree(base.with_name("before"), base)
    assert carry_out(base, name(0)) == {"mac-01": ("changed", [])}
    return tree(base / "mac-01")


def tree(home):
    """Return every file below a home with its mode and bytes."""
    return {
        str(path.relative_to(home)): (oct(path.stat().st_mode), path.read_bytes() if path.is_file() else b"")
        for path in sorted(home.rglob("*"))
    }


def name(minute):
    return f"20261123T05{minute:02}00Z-stage3-0000"


def wait_until(holds):
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(0.02)


def turns(last, always):
    """Return every turn up to `last`; all but one of them are for the longer suite."""
    return [pytest.param(n, marks=() if n == always else pytest.mark.slow) for n in range(1, last + 1)]


@pytest.mark.parametrize("at", turns(ENTRIES, always=4))
def test_a_controller_killed_at_any_entry_of_the_journal_is_gone_on_with(root, undisturbed, at):
    assert killed(root, name(1), at=at)
    state = SqlState(f"sqlite:///{root}/state.db")
    begun = state.last() == name(1)
    ((_, (outcome, problems)),) = carry_out(root, name(2), name(1) if begun else "").items()
    assert (outcome in ("changed", "unchanged", "current"), problems) == (True, [])
    assert tree(root / "mac-01") == undisturbed
    assert not begun or state.unsettled(name(1)) == ()
    state.close()


@pytest.mark.parametrize("step", turns(5, always=4))
def test_a_controller_killed_by_any_step_is_gone_on_with_and_no_step_runs_twice(root, undisturbed, step):
    assert killed(root, name(1), step=step)
    assert carry_out(root, name(2), name(1))["mac-01"][1] == []
    assert tree(root / "mac-01") == undisturbed


def test_a_node_that_needs_nothing_any_more_gets_its_lock_and_its_jobs_taken_back(root, undisturbed):
    assert killed(root, name(1), step=4)
    # The detached step ended by itself, and a run that goes on with nothing finishes the stage beside it.
    home = root / "mac-01"
    (job,) = (home / ".macfleet/jobs").iterdir()
    wait_until((job / "exit").exists)
    shutil.copytree(home / ".macfleet", root / "left")
    shutil.rmtree(home / ".macfleet")
    assert carry_out(root, name(2)) == {"mac-01": ("changed", [])}
    shutil.rmtree(home / ".macfleet")
    shutil.copytree(root / "left", home / ".macfleet")
    assert carry_out(root, name(3), name(1)) == {"mac-01": ("current", [])}
    assert tree(home) == undisturbed


@pytest.mark.slow
def test_a_run_writes_no_more_entries_than_it_is_killed_at(root, undisturbed):
    assert not killed(root, name(1), at=ENTRIES + 1)
    assert tree(root / "mac-01") == undisturbed


@pytest.mark.slow
def test_a_resumed_run_that_is_killed_itself_is_gone_on_with_under_any_of_the_ids(root, undisturbed):
    assert killed(root, name(1), at=4)
    assert killed(root, name(2), name(1), at=4)
    assert killed(root, name(3), name(2), at=2)
    assert carry_out(root, name(4), name(3)) == {"mac-01": ("changed", [])}
    assert tree(root / "mac-01") == undisturbed
    state = SqlState(f"sqlite:///{root}/state.db")
    assert [state.origin(name(minute)) for minute in (1, 2, 3, 4)] == [name(1)] * 4
    assert state.unsettled(name(1)) == ()
    state.close()
