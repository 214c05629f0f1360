"""The node's half: its scripts run under sh with a Mac's programs played, its answers are read warily."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.gateway import node_scripts as scripts
from macfleet.gateway.node_answers import read_sight, read_stop
from macfleet.gateway.node_half import NodeScripts
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.drain_state import InFlight, Service, ServiceState
from macfleet.testing import LocalTransport

NODE = Node("mac-01", Endpoint("mac-01"), pool="chat", variables={"engine_port": 8080})
TARGET = scripts.Target("chat", 8080, "small-chat")
IDENTIFIER = "c0ffee" * 10

# A Mac's programs as shell functions; the port is open while no rule stands and the container runs.
PROGRAMS = f"""
docker() {{
  case " $* " in
    *" ps "*) [ -e "$HOME/running" ] && echo '{IDENTIFIER}|running|Up 1 minute (healthy)' || echo '{IDENTIFIER}|exited|Exited (0)' ;;
    *" stop "*) rm -f "$HOME/running"; echo stop >>"$HOME/calls" ;;
    *" start "*) : >"$HOME/running"; echo start >>"$HOME/calls" ;;
    *"/metrics "*) cat "$HOME/metrics" 2>/dev/null ;;
    *"/slots "*) cat "$HOME/slots" 2>/dev/null ;;
    *" exec "*) echo warmed >>"$HOME/calls" ;;
  esac
}}
curl() {{
  [ -e "$HOME/running" ] || return 7
  case " $* " in
    *:18080/*) grep -q '^rdr ' "$HOME/rules" 2>/dev/null && [ ! -e "$HOME/no_entry" ] || return 7 ;;
    *) [ ! -s "$HOME/rules" ] || [ -e "$HOME/leaky" ] || return 7 ;;
  esac
}}
netstat() {{ cat "$HOME/netstat" 2>/dev/null; }}
sudo() {{ shift; "$@"; }}
pfctl() {{
  echo "pfctl $*" >>"$HOME/calls"
  [ ! -e "$HOME/nosudo" ] || {{ echo 'pfctl: /dev/pf: Permission denied' >&2; return 1; }}
  case " $* " in
    *" -f "*) cat >"$HOME/rules" ;;
    *" -F rules "*) sed -i '/^block/d' "$HOME/rules" ;;
    *" -F nat "*) sed -i '/^rdr/d' "$HOME/rules" ;;
    *" -E "*) echo 'Token : 4711' >&2 ;;
    *" rules "*) sed -n '/^block/p' "$HOME/rules" ;;
    *" References "*) echo "0 pfctl $(cat "$HOME/.macfleet/pf.token" 2>/dev/null) 0 days" ;;
  esac
}}
"""


class Mac:
    """A `Transports` whose one node has the programs above."""

    def __init__(self, home):
        self.home = home
        self.local = LocalTransport(home)
        socket = home / ".colima/default/docker.sock"
        socket.parent.mkdir(parents=True)
        os.mkfifo(socket)
        (home / "running").touch()

    def to(self, _node):
        return self

    def run(self, script, *, deadline):
        # A named pipe stands for the socket: making a real one would bind a path too long for some machines.
        return self.local.run(
            PROGRAMS + script.replace("-S ", "-p ").replace("command -v docker", "true"), deadline=deadline
        )

    def calls(self):
        path = self.home / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def mac(tmp_path):
    return Mac(tmp_path)


@pytest.fixture
def half(mac):
    return NodeScripts(mac, "small-chat")


def service(state, token=5, **more):
    return Service("mac-01", state, 'the fan\'s "noise"; $(reboot)\n', "ana", 10.0, token=token, **more)


def test_a_serving_node_is_seen_with_what_is_in_flight(mac, half):
    (mac.home / "metrics").write_text(
        "# HELP x\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 2\nllamacpp:tokens 9\n"
    )
    (mac.home / "slots").write_text(json.dumps([{"is_processing": True}, {"is_processing": False}]))
    (mac.home / "netstat").write_text(
        "tcp4  0 0  127.0.0.1.8080  127.0.0.1.50001  ESTABLISHED\n"
        "tcp4  0 0  127.0.0.1.50001  127.0.0.1.8080  ESTABLISHED\n"
        "tcp4  0 0  127.0.0.1.18080  127.0.0.1.50002  ESTABLISHED\n"
        "tcp4  0 0  127.0.0.1.8080  127.0.0.1.50003  TIME_WAIT\n"
        "tcp4  0 0  127.0.0.1.8080  127.0.0.1.50004  CLOSE_WAIT\n"
    )
    sight = half.look(NODE)
    assert sight.in_flight == InFlight(3, ("127.0.0.1.50001", "127.0.0.1.50004"))
    assert (sight.healthy, sight.closed, sight.service) == (True, False, None)


def test_a_draining_node_refuses_connections_and_remembers_why(mac, half):
    half.enter(NODE, service(ServiceState.DRAINING))
    sight = half.look(NODE)
    assert sight.closed
    assert not sight.healthy
    assert sight.service.state is ServiceState.DRAINING
    assert sight.service.reason == 'the fan\'s "noise"; $(reboot)\n'
    assert (mac.home / ".macfleet/drained").exists()
    assert (mac.home / "rules").read_text() == (
        "rdr pass on lo0 inet proto tcp from any to 127.0.0.1 port 18080 -> 127.0.0.1 port 8080\n"
        "block return in quick proto tcp from any to any port 8080 flags S/SA\n"
    )


def test_entering_twice_takes_one_token_and_leaving_gives_it_back(mac, half):
    half.enter(NODE, service(ServiceState.DRAINING))
    half.enter(NODE, service(ServiceState.DRAINED))
    assert sum(" -E" in call for call in mac.calls()) == 1
    half.enter(NODE, service(ServiceState.ACTIVE))
    assert any(call.endswith("-X 4711") for call in mac.calls())
    assert half.look(NODE).healthy
    assert not (mac.home / ".macfleet/drained").exists()
    assert not (mac.home / ".macfleet/pf.token").exists()


def test_a_cordon_needs_no_packet_filter(mac, half):
    half.enter(NODE, service(ServiceState.CORDONED))
    assert mac.calls() == []
    assert half.look(NODE).healthy


def test_a_newer_lease_on_the_node_wins(half):
    half.enter(NODE, service(ServiceState.DRAINED, token=9))
    with pytest.raises(MacfleetError) as refused:
        half.enter(NODE, service(ServiceState.ACTIVE, token=8))
    assert (refused.value.diagnostics[0].code, int(refused.value.exit_code)) == ("E0873", 6)
    assert half.look(NODE).service.state is ServiceState.DRAINED


@pytest.mark.parametrize(
    ("file", "mend"),
    [
        ("nosudo", "sudo -n pfctl"),
        ("leaky", 'keep the line: anchor "com.apple/*"'),
        ("no_entry", 'rdr-anchor "com.apple/*"'),
    ],
    ids=str,
)
def test_a_port_that_is_not_proven_closed_is_an_error_with_a_mend(mac, half, file, mend):
    (mac.home / file).touch()
    with pytest.raises(MacfleetError) as failed:
        half.enter(NODE, service(ServiceState.DRAINING))
    assert failed.value.diagnostics[0].code == "E0876"
    assert mend in failed.value.diagnostics[0].mend


def test_stopping_says_what_was_in_flight_and_which_ids_are_gone(mac, half):
    (mac.home / "metrics").write_text("llamacpp:requests_processing 2\n")
    in_flight, containers = half.stop(NODE)
    assert in_flight.requests == 2
    assert containers == {IDENTIFIER: False}
    assert half.look(NODE).in_flight == InFlight(0, running=False)


def test_starting_warms_the_engine_up(mac, half):
    half.stop(NODE)
    half.start(NODE)
    assert mac.calls() == ["stop", "start", "warmed"]


@pytest.mark.parametrize(
    ("output", "requests", "running"),
    [
        ("", None, True),
        ("engine silent\n", None, True),
        ("engine absent\n", 0, False),
        ("engine ok\n", 0, False),
        ("engine ok\ncontainer a|exited|Exited (0)\n", 0, False),
        ("engine ok\ncontainer a|running|Up\n", None, True),
        ("engine ok\ncontainer a|running|Up\nmetric processing 1\n", 1, True),
        ("engine ok\ncontainer a|running|Up\nmetric processing zero\n", 1, True),
        ("engine ok\ncontainer a|running|Up\nmetric processing inf\n", 1, True),
        ('engine ok\ncontainer a|running|Up\nslots [1, {}, {"is_processing": true}]\n', 1, True),
        ("engine ok\ncontainer a|running|Up\nslots [[[[\n", None, True),
    ],
)  # fmt: skip
def test_what_is_not_known_is_never_taken_for_nothing(output, requests, running):
    found = read_sight("mac-01", output).in_flight
    assert (found.requests, found.running) == (requests, running)


@pytest.mark.parametrize("status", ["Up 2 s (health: starting)", "Up 2 s (unhealthy)"])
def test_a_container_that_is_not_healthy_does_not_serve(status):
    text = f"engine ok\ncontainer a|running|{status}\nanswers\n"
    assert not read_sight("mac-01", text).healthy


@given(st.text())
def test_any_output_is_read(output):
    read_sight("mac-01", output)
    read_stop("mac-01", output)


@given(st.dictionaries(st.sampled_from(["reason", "token", "since", "who"]), st.text() | st.floats()))
def test_any_file_of_a_node_is_read(document):
    text = json.dumps({"state": "drained", **document})
    assert read_sight("mac-01", f"service {text}\n").service.closed


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_reason_reaches_the_node_as_it_was_written(reason):
    kept = read_sight("mac-01", f"service {scripts.document(Service('mac-01', reason=reason))}\n").service
    assert kept.reason == reason[:500]
