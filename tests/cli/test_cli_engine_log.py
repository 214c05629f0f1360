"""The last lines of a node's engines, from a node in a folder."""

import pytest

from macfleet.cli.engine_log import engine_lines, log_script
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node, Roots
from macfleet.testing.mac import PROGRAMS, FakeMac
from macfleet.testing.transport import LocalTransport

ANSWERS = """echo "$*" >"$HOME/asked"; [ ! -f "$HOME/broken" ] || { echo 'no engine'; return 1; }
printf '\\033[2Kengine-1  | one\\n'; echo 'engine-1  | two'"""


@pytest.fixture
def mac(tmp_path):
    return FakeMac(LocalTransport(tmp_path), programs={**PROGRAMS, "docker": ANSWERS})


def node(root, pool="it's chat"):
    return Node(
        name="mac-01", endpoint=Endpoint("mac-01"), pool=pool, roots=Roots("/w", "/c", f"{root}/my logs")
    )


def asked(mac, lines=2):
    one = node(mac.home)
    return engine_lines(one, mac.run(log_script(one, lines), deadline=60))


def test_both_engines_are_shown_and_no_more_lines_than_wanted(mac):
    (mac.home / "my logs").mkdir()
    (mac.home / "my logs/bare-engine.log").write_text("a\nb\nc\n")
    assert asked(mac) == {"container": ("engine-1  | one", "engine-1  | two"), "bare": ("b", "c")}
    words = "compose --project-name it's chat logs --no-color --timestamps --tail 2\n"
    assert (mac.home / "asked").read_text() == words


def test_an_engine_that_printed_nothing_is_left_out(mac):
    assert list(asked(mac)) == ["container"]


def test_a_node_whose_container_engine_does_not_answer_says_why(mac):
    (mac.home / "broken").touch()
    with pytest.raises(MacfleetError) as caught:
        asked(mac)
    (problem,) = caught.value.diagnostics
    assert (problem.code, "no engine" in problem.why) == ("E0440", True)


@pytest.mark.usefixtures("fleet")
def test_the_engines_of_a_node_that_does_not_answer_are_unreachable(run):
    code, _, err = run("logs", "mac-01", "--engine")
    assert code == 5, err


@pytest.mark.usefixtures("fleet")
def test_a_run_and_the_node_as_it_is_now_are_two_things(run):
    assert run("logs", "mac-01", "--engine", "--run", "2026")[0] == 2
    assert run("logs", "all", "--engine")[0] == 2
