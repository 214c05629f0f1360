"""Somebody asks a rollout to stop: nothing new begins, and what was under way is interrupted, not failed."""

from dataclasses import dataclass, field, replace

import pytest
from straight_line import Fleet, outcomes

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.stage import StageName

CONTRACT = StageName.CONTRACT


@dataclass
class Stoppable(Fleet):
    """Says that it is to stop once `asked` is not empty."""

    asked: list = field(default_factory=list)

    def ports(self):
        return replace(super().ports(), stop=lambda: bool(self.asked))

    def when(self, name, text):
        """Ask to stop when a script that holds a text reaches a node, which is then cut off."""

        def look(script):
            if text in script:
                self.asked.append(text)
                self.macs.mac(name).canned[text] = b""

        self.macs.mac(name).before = look


@pytest.fixture
def stoppable(tmp_path):
    return Stoppable.make(tmp_path, "mac-01", "mac-02", "mac-03")


def test_a_stop_while_planning_changes_nothing_and_begins_no_run(stoppable):
    stoppable.asked.append("now")
    with pytest.raises(MacfleetError) as caught:
        stoppable.rollout(CONTRACT)
    assert [d.code for d in caught.value.diagnostics] == ["E0575"]
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert (stoppable.marked(CONTRACT), stoppable.journal.runs) == ([], {})


def test_a_stopped_run_keeps_what_was_done_names_what_was_cut_and_begins_nothing_else(stoppable):
    stoppable.use(CONTRACT, head="strategy: {canary: 1, batch: 1}\n  gates: [contract_frozen: {}]")
    stoppable.when("mac-02", "echo done")
    result = stoppable.rollout(CONTRACT)
    assert outcomes(result) == {"mac-01": "changed", "mac-02": "interrupted", "mac-03": "not reached"}
    assert (result.exit_code, result.interrupted, result.folder) == (ExitCode.INTERRUPTED, True, "")
    assert stoppable.runs.opened[result.run].sealed is None
    assert stoppable.journal.ended[result.run] == "130"
    assert stoppable.journal.unsettled(result.run) == ("mac-02", "mac-03")
    # Being stopped says nothing about the node: no failure is recorded against it.
    assert stoppable.evidences.latest("mac-02", CONTRACT) is None
    stoppable.asked.clear()
    stoppable.macs.mac("mac-02").canned.clear()
    stoppable.macs.mac("mac-02").before = lambda _script: None
    left = stoppable.journal.unsettled(result.run)
    again = stoppable.rollout(CONTRACT, *left, resume=result.run)
    assert (again.exit_code, stoppable.marked(CONTRACT)) == (ExitCode.DONE, ["mac-01", "mac-02", "mac-03"])
    assert stoppable.journal.unsettled(result.run) == ()
