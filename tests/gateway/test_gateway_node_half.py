"""The node's half: its scripts run under sh with a Mac's programs played, its answers are read warily."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.gateway import node_scripts as scripts
from macfleet.gateway.node_answers import read_sight, read_stop
from macfleet.gateway.node_half import NodeScripts, RouteProof
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Arm, Endpoint, Node
from macfleet.rollout.arms import behind
from macfleet.rollout.drain_ports import WayIn
from macfleet.rollout.drain_state import InFlight, Service, ServiceState
from macfleet.testing import LocalTransport, LocalTransports
from macfleet.testing.load import FakeLoadGenerator

NODE = Node(
    "mac-01",
    Endpoint("mac-01"),
    pool="chat",
    variables={"engine_port": 8080, "front_port": 8090, "bare_port": 8081},
)
FRONTED = replace(NODE, arms=(Arm.BARE, Arm.CONTAINER, Arm.HOST_ENGINE))
IDENTIFIER, FRONT = "c0ffee" * 10, "decade" * 10

# A Mac's programs as shell functions; a port is open while no rule stands for it and its container runs.
PROGRAMS = f"""
listed() {{ [ -e "$HOME/$1" ] && echo "$2|running|Up 1 minute$4|$3" || echo "$2|exited|Exited (0)|$3"; }}
docker() {{
  case " $* " in
    *" ps "*project=chat-front*) [ ! -e "$HOME/front" ] || listed front-running {FRONT} 'chat-front|front' ;;
    *" ps "*) listed running {IDENTIFIER} 'chat|engine' ' (healthy)' ;;
    *" chat-front stop "*) rm -f "$HOME/front-running"; echo stop front >>"$HOME/calls" ;;
    *" chat-front start "*) : >"$HOME/front-running"; echo start front >>"$HOME/calls" ;;
    *" stop "*) rm -f "$HOME/running"; echo stop >>"$HOME/calls" ;;
    *" start "*) : >"$HOME/running"; echo start >>"$HOME/calls" ;;
    *" exec "*"http_code"*) cat "$HOME/offers" 2>/dev/null || return 28 ;;
    *"/metrics "*) cat "$HOME/metrics" 2>/dev/null ;;
    *"/slots "*) cat "$HOME/slots" 2>/dev/null ;;
    *" exec "*) echo warmed >>"$HOME/calls" ;;
  esac
}}
curl() {{
  for url; do case "$url" in http*) break ;; esac; done
  port=${{url#http://127.0.0.1:}}; port=${{port%%/*}}; published=$(($port % 10000))
  case "$url" in
    *:8081/metrics) cat "$HOME/bare-metrics" 2>/dev/null ;;
    *:8081/*completions) echo warmed bare >>"$HOME/calls" ;;
    *:8081/*) ;;
    *)
      [ $published = 8090 ] && runs=front-running || runs=running
      [ -e "$HOME/$runs" ] || return 7
      if [ $port -gt 10000 ]; then
        grep -q "^rdr .* port $port -> .* $published$" "$HOME/rules" 2>/dev/null && [ ! -e "$HOME/no_entry" ] || return 7
      else
        ! grep -q "^block .* port $port " "$HOME/rules" 2>/dev/null || [ -e "$HOME/leaky" ] || return 7
      fi ;;
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
    *" rules "*) sed -n '/^block/s/ port 8080 / port = http-alt /; s/ port 8090 / port = 8090 /; /^block/p' "$HOME/rules" ;;
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
    assert sight.in_flight == InFlight(3, ("8080 127.0.0.1.50001", "8080 127.0.0.1.50004"))
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
        'block return in quick proto tcp from any to any port 8080 flags S/SA label "macfleet-8080"\n'
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


@pytest.fixture
def fronted(mac):
    """A Mac with a front before its own engine besides the container."""
    for file in ("front", "front-running"):
        (mac.home / file).touch()
    return mac


def test_every_port_where_requests_enter_is_closed_at_once_and_opened_again(fronted, half):
    assert half.look(FRONTED).healthy
    half.enter(FRONTED, service(ServiceState.DRAINING))
    assert [call for call in fronted.calls() if " -f " in call] == ["pfctl -q -a com.apple/macfleet -f -"]
    assert (fronted.home / "rules").read_text() == (
        "rdr pass on lo0 inet proto tcp from any to 127.0.0.1 port 18090 -> 127.0.0.1 port 8090\n"
        "rdr pass on lo0 inet proto tcp from any to 127.0.0.1 port 18080 -> 127.0.0.1 port 8080\n"
        'block return in quick proto tcp from any to any port 8090 flags S/SA label "macfleet-8090"\n'
        'block return in quick proto tcp from any to any port 8080 flags S/SA label "macfleet-8080"\n'
    )
    sight = half.look(FRONTED)
    assert (sight.closed, sight.ways) == (True, {8090: WayIn(True), 8080: WayIn(True)})
    half.enter(FRONTED, service(ServiceState.ACTIVE))
    sight = half.look(FRONTED)
    assert (sight.healthy, sight.closed, sight.ways) == (
        True,
        False,
        {8090: WayIn(False), 8080: WayIn(False)},
    )


def test_what_goes_on_at_the_front_is_in_flight(fronted, half):
    (fronted.home / "metrics").write_text("llamacpp:requests_processing 1\n")
    (fronted.home / "bare-metrics").write_text("llamacpp:requests_processing 3\n")
    (fronted.home / "netstat").write_text(
        "tcp4  0 0  127.0.0.1.8090  127.0.0.1.50001  ESTABLISHED\n"
        "tcp4  0 0  127.0.0.1.8080  127.0.0.1.50001  ESTABLISHED\n"
        "tcp4  0 0  127.0.0.1.8081  127.0.0.1.50002  ESTABLISHED\n"
    )
    sight = half.look(FRONTED)
    assert sight.in_flight == InFlight(4, ("8080 127.0.0.1.50001", "8090 127.0.0.1.50001"))
    assert [way.connections for way in sight.ways.values()] == [1, 1]
    assert half.look(NODE).in_flight == InFlight(1, ("8080 127.0.0.1.50001",))


def test_a_node_that_was_closed_before_it_had_a_front_is_not_closed(fronted, half):
    half.enter(NODE, service(ServiceState.DRAINED))
    assert half.look(NODE).closed
    sight = half.look(FRONTED)
    assert (sight.closed, sight.ways[8090].closed, sight.ways[8080].closed) == (False, False, True)


def test_a_front_that_is_declared_and_not_there_yet_holds_nothing_up(mac, half):
    assert half.look(FRONTED).healthy
    half.enter(FRONTED, service(ServiceState.DRAINED))
    assert half.look(FRONTED).closed
    assert half.start(FRONTED) == (Arm.CONTAINER,)
    assert "start front" not in mac.calls()


def test_a_front_that_does_not_answer_does_not_serve(fronted, half):
    (fronted.home / "front-running").unlink()
    assert not half.look(FRONTED).healthy


def test_the_front_is_stopped_first_and_started_last(fronted, half):
    (fronted.home / "metrics").write_text("llamacpp:requests_processing 0\n")
    _, containers = half.stop(FRONTED)
    assert containers == {FRONT: False, IDENTIFIER: False}
    assert half.start(FRONTED) == (Arm.CONTAINER, Arm.HOST_ENGINE)
    assert fronted.calls() == ["stop front", "stop", "start", "start front", "warmed", "warmed bare"]


def test_a_rule_in_a_filter_that_refuses_nobody_does_not_close_a_node(mac, half):
    half.enter(NODE, service(ServiceState.DRAINED))
    (mac.home / "leaky").touch()
    assert not half.look(NODE).closed


@pytest.mark.parametrize(
    ("page", "requests"),
    [
        ('vllm:num_requests_running{engine="0",model_name="a b"} 2.0\nvllm:num_requests_waiting 1.0\n', 3),
        ("llamacpp:requests_processing 1\n" + "llamacpp:tokens 1\n" * 100_000, 1),
        ("llamacpp:requests_processing\n", 1),
    ],
    ids=["another engine", "long", "broken"],
)
def test_pages_of_engines_are_read(mac, half, page, requests):
    (mac.home / "metrics").write_text(page)
    assert half.look(NODE).in_flight == InFlight(requests)


@pytest.mark.parametrize(
    ("offers", "counts"), [("offers 501\noffers 404\n", False), ("offers 500\noffers 404\n", True)]
)
def test_an_engine_that_shows_no_requests_is_asked_whether_it_could(mac, half, offers, counts):
    (mac.home / "offers").write_text(offers)
    assert half.look(NODE).in_flight == InFlight(None, counts=counts)


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


UP = "engine ok\ncontainer a|running|Up|chat|engine\n"
ASKED = f"{UP}asked container\n"


@pytest.mark.parametrize(
    ("output", "requests", "running", "counts"),
    [
        ("", None, True, True),
        ("engine silent\n", None, True, True),
        ("engine absent\n", 0, False, True),
        ("engine ok\n", 0, False, True),
        ("engine ok\ncontainer a|exited|Exited (0)\n", 0, False, True),
        ("engine ok\ncontainer a|running|Up\n", None, True, True),
        (UP, None, True, True),
        (ASKED, None, True, True),
        (f"{ASKED}metric processing 1\n", 1, True, True),
        (f"{ASKED}metric processing zero\n", 1, True, True),
        (f"{ASKED}metric processing inf\n", 1, True, True),
        (f"{ASKED}metric processing nan\n", 1, True, True),
        (f"{ASKED}metric processing 1.0\nmetric processing 2.0\nmetric deferred 3\n", 6, True, True),
        (f'{ASKED}slots [1, {{}}, {{"is_processing": true}}]\n', 1, True, True),
        (f"{ASKED}slots [[[[\n", None, True, True),
        (f"{ASKED}slots []\n", None, True, True),
        (f'{ASKED}slots {{"error": "no slots here"}}\n', None, True, True),
        (f'{ASKED}slots [{{"is_processing": false}}]\n', 0, True, True),
        (f'{ASKED}slots [{{"is_processing": "perhaps"}}]\n', 1, True, True),
        (f"{ASKED}offers ²³\n", None, True, True),
        (f"{ASKED}offers 501\noffers 404\n", None, True, False),
        (f"{ASKED}offers 200\noffers 404\n", None, True, False),
        (f"{ASKED}offers 127\n", None, True, False),
        (f"{ASKED}offers 000\noffers 000\noffers 7\n", None, True, False),
        (f"{ASKED}offers 503\noffers 501\n", None, True, True),
        (f"{ASKED}offers 000\noffers 000\noffers 28\n", None, True, True),
        (f"{ASKED}metric processing 1\nasked host-engine\nmetric processing 2\n", 3, True, True),
        (f"{ASKED}metric processing 1\nasked host-engine\noffers 404\noffers 404\n", 1, True, False),
        (f"{ASKED}metric processing 0\nasked host-engine\noffers 404\noffers 404\n", None, True, False),
        (f"{ASKED}metric processing 1\nasked host-engine\noffers 000\noffers 28\n", None, True, True),
    ],
)  # fmt: skip
def test_what_is_not_known_is_never_taken_for_nothing(output, requests, running, counts):
    found = read_sight("mac-01", output).in_flight
    assert (found.requests, found.running, found.counts) == (requests, running, counts)


@pytest.mark.parametrize("status", ["Up 2 s (health: starting)", "Up 2 s (unhealthy)"])
def test_a_container_that_is_not_healthy_does_not_serve(status):
    text = f"port 8080 chat\nengine ok\ncontainer a|running|{status}|chat|engine\nanswers 8080\n"
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


class Asked(FakeLoadGenerator):
    """Remembers the address of every arm that was probed."""

    def probe(self, node, arm, base_url, contract):
        self.probed.append((str(arm), base_url))
        return FakeLoadGenerator.probe(self, node, arm, base_url, contract)


@pytest.mark.parametrize(
    ("reached", "ports"),
    [(FRONTED, (8080, 8090)), (behind(FRONTED, 18080), (18080, 18090))],
    ids=["open", "closed"],
)
def test_each_arm_that_is_there_is_asked_where_it_lets_in(tmp_path, reached, ports):
    load = Asked(problems={"mac-01/host-engine": ("status 502",)})
    answering = LocalTransports(tmp_path)
    (tmp_path / "mac-01").mkdir()
    answering.opened["mac-01"] = Answering(tmp_path / "mac-01")
    promised = SimpleNamespace(routes=[SimpleNamespace(path="/v1/models", stream=False)])
    prove = RouteProof(answering, load, promised)
    there = replace(reached, arms=(Arm.CONTAINER, Arm.HOST_ENGINE))
    assert prove(there) == ("/v1/models of host-engine: status 502",)
    asked = [address for _, address in load.probed if address.startswith("http")]
    assert asked == [f"http://127.0.0.1:{port}" for port in ports]
    assert prove(replace(reached, arms=(Arm.CONTAINER,))) == ()


class Answering(LocalTransport):
    """A node on which every address answers."""

    def run(self, script, *, deadline):
        return LocalTransport.run(self, f"curl() {{ :; }}\n{script}", deadline=deadline)
