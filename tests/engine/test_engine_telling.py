"""A resource that reads its steps' output: what it notes is told, what it says of a failure is said."""

from dataclasses import dataclass
from itertools import count

import pytest

from macfleet.engine import apply_plan, make_plan, observe
from macfleet.engine.happening import Moment
from macfleet.engine.lock import Holder
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.resource import Probe, Run, compare
from macfleet.testing import LocalTransport


@dataclass(frozen=True)
class Fetched:
    """A file that is there after a step which has something to say."""

    says: str
    limit: float = 30.0
    address: str = "fetched.it"
    kind: str = "fetched"
    needs: tuple[str, ...] = ()

    def probe(self):
        return Probe("cat ~/it 2>/dev/null; :", lambda output: {"it": "there"} if output.stdout else None)

    def desired(self):
        return {"it": "there"}

    def change(self, actual):
        return compare(self.address, self.desired(), actual)

    def steps(self, _change):
        return (Run(self.says, limit=self.limit),)

    def notes(self, output):
        return tuple(line for line in output.stderr.splitlines() if line.startswith("note"))

    def refusal(self, output):
        if "no login" not in output.stderr:
            return None
        return Diagnostic("E9999", "the login is refused", node="n", exit_code=ExitCode.HELD)


@pytest.fixture(params=[30.0, 60.0], ids=["in the exec", "detached"])
def fetch(tmp_path, request):
    counter = count()
    line = LocalTransport(tmp_path)
    told = []

    def nonce():
        return f"n{next(counter)}"

    def fetch(says):
        resources = [Fetched(says, request.param)]
        plan = make_plan("n", resources, observe("n", resources, line, nonce=nonce))
        holder = Holder("run-1", "test", "2026-01-01T00:00:00Z")
        apply_plan(plan, resources, line, sources=None, holder=holder, nonce=nonce, report=told.extend)
        return [(each.moment, each.text) for each in told if each.moment in (Moment.NOTED, Moment.DONE)]

    return fetch


def test_notes_of_steps_that_succeeded_are_told(fetch):
    told = fetch("echo x >~/it; echo note one >&2; echo else >&2; echo note two >&2")
    assert sorted(told) == [(Moment.DONE, ""), (Moment.NOTED, "note one"), (Moment.NOTED, "note two")]


@pytest.mark.parametrize(
    ("says", "code", "exit_code"),
    [
        ("echo note; echo no login >&2; exit 69", "E9999", ExitCode.HELD),
        ("echo disk full >&2; exit 1", "E0512", ExitCode.NODE_FAILED),
    ],
    ids=["its own words", "its last words"],
)
def test_a_failure_is_said_by_the_resource_where_it_can(fetch, says, code, exit_code):
    with pytest.raises(MacfleetError) as caught:
        fetch(says)
    assert [(each.code, each.exit_code) for each in caught.value.diagnostics] == [(code, exit_code)]
