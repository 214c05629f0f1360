"""The VM is down in the bare arm of a run that can be signed, up in the container's, and back afterwards."""

import pytest
from straight_line import Fleet

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Arm
from macfleet.model.stage import StageName
from macfleet.rollout import vm
from macfleet.rollout.load_profile import LoadProfile
from macfleet.testing import mac
from macfleet.testing.transport import LocalTransport

pytestmark = pytest.mark.slow  # seconds of waiting for engines that are scripts here

LONG = LoadProfile(1800.0, segments=2, warmup=1.0)
SHORT = LoadProfile(8.0, segments=2, warmup=1.0)
COLIMA = """case "$1" in
  list) if [ -f "$HOME/vm.down" ]; then s=Stopped; else s=Running; fi
        echo "{\\"name\\":\\"default\\",\\"status\\":\\"$s\\"}";;
  stop) : >"$HOME/vm.down"; rm -f "$HOME/up.8080";;
  start) rm -f "$HOME/vm.down";;
esac"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name":"default","status":"Running"}\n', True),
        ('{"name":"default","status":"Stopped"}\n', False),
        ('{"name":"other","status":"Running"}\n', False),
        ("", False),
        ("time=now level=fatal msg=no\n", None),
        ("[]\n", False),
    ],
)
def test_the_state_of_the_vm_is_read_or_not_known(text, expected):
    assert vm.parse_list(text) is expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([("bare", 0, False), ("container", 0, True)], False),
        ([("bare", 0, False), ("bare", 1, True)], True),
        ([("bare", 0, False), ("bare-cpu", 0, None)], None),
        ([("container", 0, True)], None),
    ],
)
def test_one_bare_segment_with_the_vm_up_taints_the_run(states, expected):
    assert vm.document(states)["vm_during_bare"] is expected


def test_a_vm_that_will_not_stop_fails_the_node(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01")
    node_without_colima = LocalTransport(tmp_path)
    with pytest.raises(MacfleetError) as caught:
        vm.stop(fleet.nodes[0], node_without_colima)
    assert caught.value.diagnostics[0].code == "E0822"


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """Measure one node whose Colima can be stopped; return whether its VM ran in each segment, by arm."""
    monkeypatch.setattr(mac, "PROGRAMS", {**mac.PROGRAMS, "colima": COLIMA})

    def run(profile, *, down=False):
        fleet = Fleet.make(tmp_path, "mac-01").upto(StageName.LOADTEST)
        if down:
            (fleet.home("mac-01") / "vm.down").touch()
        seen = []
        fleet.load.pause = lambda: seen.append(not (fleet.home("mac-01") / "vm.down").exists())
        fleet.rollout(StageName.LOADTEST, load=profile)
        (recorded,) = [r for r in fleet.runs.opened.values() if "nodes/mac-01/vm.json" in r.files]
        return fleet, seen, recorded.files["nodes/mac-01/vm.json"]

    return run


def test_a_full_run_stops_the_vm_in_the_bare_arm_and_brings_it_back(measure):
    fleet, seen, document = measure(LONG)
    assert document["vm_during_bare"] is False
    up = {(row["arm"], row["up"]) for row in document["segments"]}
    assert up == {(Arm.BARE, False), (Arm.CONTAINER, True)}
    assert True in seen
    assert False in seen
    assert not (fleet.home("mac-01") / "vm.down").exists()
    assert (fleet.home("mac-01") / "up.8080").exists()


def test_a_short_run_leaves_the_vm_alone_and_records_that_it_was_up(measure):
    _, seen, document = measure(SHORT)
    assert document["vm_during_bare"] is True
    assert set(seen) == {True}


@pytest.mark.parametrize("profile", [LONG, SHORT])
def test_a_vm_that_a_cut_run_left_down_is_brought_up_first(measure, profile):
    fleet, _, document = measure(profile, down=True)
    assert {row["up"] for row in document["segments"] if row["arm"] == Arm.CONTAINER} == {True}
    assert not (fleet.home("mac-01") / "vm.down").exists()
