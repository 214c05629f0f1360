"""Where nodes go back to, and what counts as a proof that they are there."""

import os
import stat
from dataclasses import replace

import pytest
from straight_line import CONTRACT, IMAGE, PLATFORM, Fleet

from macfleet.contract.releases import EVERYBODY, Release, ReleaseLock
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.gateway import Out
from macfleet.model.image import LockedImage
from macfleet.rollout.result import NodeOutcome, NodeResult
from macfleet.rollout.rollback import Return, plan_return, prove, read_running

PATH = "images.lock"


def release(manifest, config):
    image = replace(IMAGE, index=manifest, manifest=manifest, config=config)
    return Release({"engine": LockedImage("engine", IMAGE.reference, manifest, {PLATFORM: image})})


def digest(letter):
    return f"sha256:{letter * 64}"


OLD, NEW, NEWER = (release(digest(a), digest(b)) for a, b in ("ab", "cd", "ef"))
LOCK = ReleaseLock(NEWER, (NEW, OLD))


@pytest.fixture
def docked(tmp_path):
    """Two nodes whose engine answers; a node's file ``running`` holds what its containers are."""
    fleet = Fleet.make(tmp_path, "mac-01", "mac-02")
    for node in fleet.nodes:
        mac = fleet.macs.mac(node.name)
        (mac.home / ".colima/default").mkdir(parents=True)
        # Made rather than bound: an address has 108 bytes, a folder of tests may have more.
        os.mknod(mac.home / ".colima/default/docker.sock", stat.S_IFSOCK | 0o600)
        mac.programs["docker"] = """case " $* " in
  *" info "*) [ ! -f "$HOME/silent" ] && echo '[["driver-type","overlay2"]]';;
  *" ps "*) cut -d' ' -f1 "$HOME/running";;
  *" inspect "*) for id; do :; done; grep "^$id " "$HOME/running" | cut -d' ' -f2-;;
esac"""
    return fleet


def runs(fleet, name, *lines):
    text = "".join(f"c{number} {line}\n" for number, line in enumerate(lines))
    (fleet.home(name) / "running").write_text(text)


def back(fleet, name="mac-01", now=NEW, to=OLD):
    node = next(each for each in fleet.nodes if each.name == name)
    return Return(node, now, to, PATH, (NEWER, NEW, OLD))


def proof(fleet, outcome=NodeOutcome.CHANGED, **fields):
    result = NodeResult("mac-01", outcome, left=Out("drained in 2 s"), **fields)
    (found,) = prove(
        [back(fleet)],
        {"mac-01": {"engine": digest("c")}},
        {"mac-01": result},
        fleet.desired,
        fleet.ports(),
        "ops@desk",
    )
    return found


def codes(found):
    return [problem.code for problem in found.problems]


def never(_node, _release):
    return False


def always(_node, _release):
    return True


@pytest.mark.parametrize(
    ("returned", "to", "served", "target", "finishes"),
    [
        ({}, "", never, NEW, False),
        ({}, "", always, NEW, False),
        ({EVERYBODY: NEW.id}, "", always, OLD, False),
        ({EVERYBODY: NEW.id}, "", never, NEW, True),
        ({"mac-01": NEW.id}, "", never, NEW, True),
        ({"mac-01": NEW.id}, "", always, OLD, False),
        ({"mac-02": NEW.id}, "", never, NEW, False),
        ({}, OLD.id, never, OLD, False),
        ({EVERYBODY: OLD.id}, NEWER.id, always, NEWER, False),
        ({EVERYBODY: OLD.id}, OLD.id, never, OLD, True),
    ],
)
def test_a_node_goes_to_the_release_before_its_own_and_a_return_that_broke_off_is_finished(
    docked, returned, to, served, target, finishes
):
    found = plan_return(docked.nodes[0], replace(LOCK, returned=returned), PATH, to, served)
    assert (found.to.id, found.finishes) == (target.id, finishes)


@pytest.mark.parametrize(
    ("returned", "to", "code"), [({EVERYBODY: OLD.id}, "", "E0687"), ({}, "r-", "E0692"), ({}, "x", "E0692")]
)
def test_where_there_is_nothing_to_go_back_to_it_says_what_there_is(docked, returned, to, code):
    with pytest.raises(MacfleetError) as refused:
        plan_return(docked.nodes[0], replace(LOCK, returned=returned), PATH, to, always)
    (problem,) = refused.value.diagnostics
    assert (problem.code, problem.node, problem.exit_code) == (code, "mac-01", ExitCode.USAGE)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([f"engine {digest('a')} true"], {"engine": digest("a")}),  # containerd: the manifest
        ([f"engine {digest('b')} true"], {"engine": digest("a")}),  # classic: the config
        ([f"engine {digest('9')} true"], {"engine": digest("9")}),  # an image of no release
        (
            [f"engine {digest('a')} true", f"front {digest('d')} true"],
            {"engine": digest("a"), "front": digest("c")},
        ),
        ([f"engine {digest('a')} false"], {}),
        ([], {}),
    ],
)
def test_the_digest_is_that_of_the_running_containers_in_either_store(docked, lines, found):
    runs(docked, "mac-01", *lines)
    assert read_running([back(docked)], docked.ports()) == {"mac-01": found}


def test_a_node_that_does_not_answer_has_no_digest_and_the_others_have(docked):
    runs(docked, "mac-02", f"engine {digest('c')} true")
    docked.macs.mac("mac-01").reachable = False
    found = read_running([back(docked), back(docked, "mac-02")], docked.ports())
    assert found == {"mac-01": None, "mac-02": {"engine": digest("c")}}


def test_an_engine_that_does_not_answer_says_nothing_about_what_runs(docked):
    (docked.home("mac-01") / "silent").touch()
    runs(docked, "mac-01", f"engine {digest('a')} true")
    assert read_running([back(docked)], docked.ports()) == {"mac-01": None}


def test_a_node_is_proven_by_its_digest_and_its_routes(docked):
    runs(docked, "mac-01", f"engine {digest('b')} true")
    found = proof(docked)
    assert (found.outcome, found.proven, found.routes) == (NodeOutcome.CHANGED, True, "1 of 1 answer")
    assert (found.before, found.after) == ({"engine": digest("c")}, {"engine": digest("a")})
    assert (found.drained, found.who, codes(found)) == ("drained in 2 s", "ops@desk", [])
    assert docked.load.probed == [("mac-01", "container")]


@pytest.mark.parametrize("lines", [[f"engine {digest('d')} true"], [f"engine {digest('b')} false"], []])
def test_a_stage_that_said_all_is_done_is_not_believed_where_other_bytes_run(docked, lines):
    runs(docked, "mac-01", *lines)
    found = proof(docked)
    assert (found.outcome, found.proven, codes(found)) == (NodeOutcome.FAILED, False, ["E0690"])
    assert docked.load.probed == []


def test_routes_that_do_not_answer_are_told_one_by_one(docked):
    runs(docked, "mac-01", f"engine {digest('b')} true")
    docked.load.problems["mac-01/container"] = ("no usage chunk", "no [DONE]")
    found = proof(docked)
    assert (found.outcome, found.proven, codes(found)) == (NodeOutcome.HELD, False, ["E0693", "E0693"])
    assert found.routes == f"0 of {len(CONTRACT.routes)} answer"


def test_a_node_that_stays_out_of_service_is_not_asked(docked):
    runs(docked, "mac-01", f"engine {digest('b')} true")
    found = proof(docked, NodeOutcome.HELD, out=True)
    assert (found.outcome, found.proven, found.routes) == (NodeOutcome.HELD, False, "not asked")
    assert found.after == {"engine": digest("a")}


def test_of_a_node_that_is_gone_the_first_reason_counts(docked):
    docked.macs.mac("mac-01").reachable = False
    gone = Diagnostic("E0571", "the connection broke", exit_code=ExitCode.UNREACHABLE)
    found = proof(docked, NodeOutcome.UNREACHABLE, diagnostics=(gone,), out=True)
    assert (found.outcome, found.after, found.proven) == (NodeOutcome.UNREACHABLE, None, False)
    assert codes(found) == ["E0571", "E0401"]


def test_a_node_that_goes_away_after_its_stage_is_unreachable_not_proven(docked):
    docked.macs.mac("mac-01").reachable = False
    found = proof(docked)
    assert (found.outcome, found.proven, codes(found)) == (NodeOutcome.UNREACHABLE, False, ["E0401"])
