"""What the node's half of a drain runs on a Mac: one POSIX script a step.

The reject rule is pf's. macOS evaluates the anchors below ``com.apple`` in its own rule set, so a rule is
loaded into one of them and /etc/pf.conf stays as it is; ``pfctl -E`` counts who wants pf enabled and gives a
token, which ``pfctl -X`` gives back (pfctl(8), pf.conf(5)). The rule refuses a SYN with a reset; what is
established goes on. Beside each port another one of the loopback, its entry, is redirected to it and passes
the rule: whoever took the node out proves and measures there. That both work is proven by connections, not by
reading rules. A node is entered at the published port of its container and, where it has one, at the front of
its own engine: all of them are closed by one load of the anchor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from macfleet.model.node import Arm
from macfleet.model.shell import quote
from macfleet.rollout.arms import ENVIRONMENT, entry_to, wait_until_healthy
from macfleet.rollout.drain_state import Service

STALE = 76
"""Exit status: the node was written by a newer lease."""
REFUSED_BY_SUDO = 77
"""Exit status: `sudo -n` or pfctl refused."""
STILL_OPEN = 78
"""Exit status: the rule stands and a connection is accepted all the same."""
NO_ENTRY = 79
"""Exit status: the rule stands and an entry leads nowhere."""
ANCHOR = "com.apple/macfleet"
WORDS = 500
"""Characters of a reason, and of a failure, that the node's own file keeps."""
LABEL = "macfleet-"
"""What the label of a reject rule begins with; the port follows."""
_FOLDER = "$HOME/.macfleet"
_LABELS = ('{{.Label "com.docker.compose.project"}}', '{{.Label "com.docker.compose.service"}}')
_ROW = "|".join(("{{.ID}}", "{{.State}}", "{{.Status}}", *_LABELS))


@dataclass(frozen=True, slots=True)
class Way:
    """A way into a node: a Compose project and the port it publishes.

    Attributes:
        arm: whose engine answers there.
        engine: port of the Mac's loopback at which that engine is asked; 0 asks inside of its container.
    """

    arm: Arm
    project: str
    port: int
    engine: int = 0

    @property
    def url(self) -> str:
        """The way in from the Mac's loopback; in its container the engine has the same address."""
        return f"http://127.0.0.1:{self.engine or self.port}"

    @property
    def listing(self) -> str:
        """Script text that lists the project's containers: id, state, status, project, service."""
        return (
            f"docker ps -a --no-trunc --filter {quote(f'label=com.docker.compose.project={self.project}')}"
            f" --filter label=com.docker.compose.oneoff=False --format {quote(_ROW)}"
        )

    @property
    def is_there(self) -> str:
        """Script text that succeeds where the listing in ``$containers`` has one of the project's."""
        return f"""case "$containers" in *{quote(f"|{self.project}|")}*) ;; *) false ;; esac"""


@dataclass(frozen=True, slots=True)
class Target:
    """What is drained on a node.

    Attributes:
        ways: the ways in, the front before what it stands beside.
        service: the engine's service in the container's project; model: what warms an engine up.
    """

    ways: tuple[Way, ...]
    service: str = "engine"
    model: str = ""

    @property
    def listing(self) -> str:
        """Script text that lists the containers of every way in."""
        return f"{{ {' && '.join(way.listing for way in self.ways)}; }}"


def look(target: Target) -> str:
    """Return the script that prints file, ports, rules, connections, containers and what engines work on."""
    return f"""{ENVIRONMENT}
if [ -f "{_FOLDER}/service.json" ]; then
  printf 'service '; head -c 65536 "{_FOLDER}/service.json" | tr -d '\\n'; echo
fi
{_lines(f"echo {quote(f'port {way.port} {way.project}')}" for way in target.ways)}
[ ! -s "{_FOLDER}/pf.token" ] || sudo -n pfctl -a {ANCHOR} -s rules 2>/dev/null | sed 's/^/rule /'
{_connections(target)}
[ -S "${{DOCKER_HOST#unix://}}" ] && command -v docker >/dev/null 2>&1 || {{ echo 'engine absent'; exit 0; }}
containers=$({target.listing} </dev/null 2>/dev/null) || {{ echo 'engine silent'; exit 0; }}
echo 'engine ok'
printf '%s\\n' "$containers" | sed -n 's/^..*$/container &/p'
{_lines(_asked(way, target.service) for way in target.ways)}
exit 0
"""


def enter(target: Target, service: Service) -> str:
    """Return the script that writes a state on the node and closes or opens its ports."""
    text = document(service)
    return f"""{ENVIRONMENT}
umask 077; mkdir -p "{_FOLDER}" || exit 1
known=$(sed -n 's/.*"token": *\\([0-9][0-9]*\\).*/\\1/p' "{_FOLDER}/service.json" 2>/dev/null)
[ "${{known:-0}}" -le {service.token} ] || exit {STALE}
printf '%s\\n' {quote(text)} >"{_FOLDER}/service.json.new" || exit 1
mv "{_FOLDER}/service.json.new" "{_FOLDER}/service.json" || exit 1
{_close(target) if service.closed else _open()}
"""


def stop(target: Target) -> str:
    """Return the script that prints what is in flight, stops the projects and lists their containers."""
    stops = _lines(
        f"! {way.is_there} || docker compose -p {quote(way.project)} stop </dev/null >&2 || exit 1"
        for way in target.ways
    )
    return f"""(
{look(target)})
echo 'now stopping'
{ENVIRONMENT}
[ -S "${{DOCKER_HOST#unix://}}" ] || exit 0
containers=$({target.listing} </dev/null) || exit 1
[ -n "$containers" ] || exit 0
{stops}
{target.listing} </dev/null | sed -n 's/^..*$/container &/p'
"""


def start(target: Target, limit: float) -> str:
    """Return the script that starts the projects, waits until they are healthy and asks each for one answer.

    It prints ``started ARM`` for each that has containers.
    """
    back = target.ways[::-1]
    starts = _lines(
        f"! {way.is_there} || docker compose -p {quote(way.project)} start </dev/null >&2 || exit 1"
        for way in back
    )
    return f"""{ENVIRONMENT}
if [ ! -S "${{DOCKER_HOST#unix://}}" ]; then
  [ ! -d "$HOME/.colima/default" ] || {{ echo 'the VM is down' >&2; exit 1; }}
  exit 0
fi
containers=$({target.listing} </dev/null) || exit 1
[ -n "$containers" ] || exit 0
{starts}
n=0
until {target.listing} </dev/null |
  awk -F'|' '$2 != "running" || $3 ~ /starting|unhealthy/ {{ bad = 1 }} END {{ exit bad }}'; do
  n=$((n + 1)); [ "$n" -lt {round(limit * 4)} ] || {{ echo 'not healthy in time' >&2; exit 1; }}
  sleep 0.25
done
containers=$({target.listing} </dev/null) || exit 1
{_lines(_warmed(way, target, limit) for way in back)}
"""


def document(service: Service) -> str:
    """Return the node's file: one line of JSON."""
    return json.dumps(
        {
            "schema": 1,
            "state": str(service.state),
            "reason": service.reason[:WORDS],
            "who": service.who,
            "since": service.since,
            "deadline": service.deadline,
            "failure": service.failure[:WORDS],
            "token": service.token,
            "run": service.run,
        }
    )


def _asked(way: Way, service: str) -> str:
    """Script text that asks the engine behind a way in what it works on, and whether the way answers.

    An engine that shows no requests is asked whether it has anything to show them with.
    """
    curl = "curl" if way.engine else 'docker exec "$id" curl'
    metrics, slots = quote(f"{way.url}/metrics"), quote(f"{way.url}/slots")
    known = (
        "s/^llamacpp:requests_/metric /p",
        "s/^vllm:num_requests_running\\({.*}\\)\\{0,1\\} /metric processing /p",
        "s/^vllm:num_requests_waiting\\({.*}\\)\\{0,1\\} /metric deferred /p",
    )
    names = " ".join(f"-e {quote(each)}" for each in known)
    quiet = "</dev/null 2>/dev/null"
    offers = f"-o /dev/null -w 'offers %{{http_code}}\\n' {metrics} -o /dev/null {slots}"
    answers = quote(f"http://127.0.0.1:{way.port}/health")
    return f"""id=$(printf '%s\\n' "$containers" | {_running(way, service)})
if [ -n "$id" ]; then
  echo {quote(f"asked {way.arm}")}
  metrics=$({curl} -fsS -m 4 {metrics} {quiet} | sed -n {names} | head -n 64)
  slots=$({curl} -fsS -m 4 {slots} {quiet} | head -c 400000 | tr -d '\\n')
  [ -z "$metrics" ] || printf '%s\\n' "$metrics"
  [ -z "$slots" ] || printf 'slots %s\\n' "$slots"
  [ -n "$metrics$slots" ] || {curl} -s -m 4 {offers} {quiet} || echo "offers $?"
  curl -fsS -m 3 -o /dev/null {answers} 2>/dev/null && echo 'answers {way.port}'
fi"""


def _running(way: Way, service: str) -> str:
    """Script text that prints the id of the running container to ask, the engine's own if it is known."""
    return (
        f"awk -F'|' -v project={quote(way.project)} -v service={quote(service)}"
        """ '$2 == "running" && $4 == project && (id == "" || $5 == service) { id = $1 } END { print id }'"""
    )


def _warmed(way: Way, target: Target, limit: float) -> str:
    """Script text that has the engine behind a way in give one answer, where the way is there."""
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": "Say one word."}],
        "max_tokens": 4,
    }
    waits, curl = ":", 'docker exec "$id" curl'
    if way.engine:
        # launchd starts the node's own engine; after a restart it may still be loading.
        waits, curl = wait_until_healthy(way.url, limit), "curl"
    ask = (
        f"{curl} -fsS -m 120 -H 'Content-Type: application/json' -o /dev/null"
        f" -d {quote(json.dumps(body))} {quote(way.url + '/v1/chat/completions')} </dev/null >&2 || exit 1"
    )
    return f"""id=$(printf '%s\\n' "$containers" | {_running(way, target.service)})
if [ -n "$id" ]; then
{waits}
{ask if target.model else ":"}
echo {quote(f"started {way.arm}")}
fi"""


def _connections(target: Target) -> str:
    # The Mac's side of the published ports; a half-closed client still waits for its answer.
    states, ports = "ESTABLISHED|CLOSE_WAIT", "|".join(str(way.port) for way in target.ways)
    return (
        f"netstat -an -p tcp | awk '$6 ~ /^({states})$/ && $4 ~ /[.]({ports})$/"
        ' {sub(/.*[.]/, "", $4); print "connection", $4, $5}\''
    )


def _close(target: Target) -> str:
    # The marker first: a Mac that restarts now must not bring the containers back. What starts the VM then
    # reads the rules from their file before it does.
    ports = [way.port for way in target.ways]
    here = "127.0.0.1 port"
    lets_in = (
        f"rdr pass on lo0 inet proto tcp from any to {here} {entry_to(port)} -> {here} {port}"
        for port in ports
    )
    # pfctl may show a port by its name; a label it shows as it was given.
    refuses = (
        f'block return in quick proto tcp from any to any port {port} flags S/SA label "{LABEL}{port}"'
        for port in ports
    )
    rules = " ".join(quote(rule) for rule in (*lets_in, *refuses))
    return f""": >"{_FOLDER}/drained" || exit 1
{_lines(f"{_tried(port)}; before_{port}=$?" for port in ports)}
printf '%s\\n' {rules} >"{_FOLDER}/pf.rules" || exit 1
sudo -n pfctl -q -a {ANCHOR} -f - <"{_FOLDER}/pf.rules" 2>"{_FOLDER}/pf.log" ||
  {{ tail -n 2 "{_FOLDER}/pf.log" >&2; exit {REFUSED_BY_SUDO}; }}
token=$(cat "{_FOLDER}/pf.token" 2>/dev/null)
if [ -z "$token" ] || ! sudo -n pfctl -s References 2>/dev/null | grep -q -w -e "$token"; then
  sudo -n pfctl -E 2>&1 | sed -n 's/^Token : *//p' >"{_FOLDER}/pf.token"
  [ -s "{_FOLDER}/pf.token" ] || {{ echo 'pfctl -E gave no token' >&2; exit {REFUSED_BY_SUDO}; }}
fi
{_lines(_refused(port) for port in ports)}
{_lines(_let_in(port) for port in ports)}"""


def _refused(port: int) -> str:
    """Script text that proves that nobody is let in at a port."""
    says = f'echo "a connection to port {port} was not refused" >&2; exit {STILL_OPEN}'
    return f"{_tried(port)}; [ $? = 7 ] || {{ {says}; }}"


def _let_in(port: int) -> str:
    """Script text that proves the entry of a port at which somebody listened."""
    refused = f'echo "a connection to the entry {entry_to(port)} was refused" >&2; exit {NO_ENTRY}'
    return f'[ "$before_{port}" = 7 ] || {{ {_tried(entry_to(port))}; [ $? != 7 ] || {{ {refused}; }}; }}'


def _tried(port: int) -> str:
    return f"curl -s -m 2 -o /dev/null http://127.0.0.1:{port}/health"


def _lines(texts: Iterator[str]) -> str:
    return "\n".join(texts)


def _open() -> str:
    return f"""if [ -e "{_FOLDER}/pf.token" ]; then
  for what in rules nat; do
    sudo -n pfctl -q -a {ANCHOR} -F "$what" 2>"{_FOLDER}/pf.log" ||
      {{ tail -n 2 "{_FOLDER}/pf.log" >&2; exit {REFUSED_BY_SUDO}; }}
  done
  # A token of before a restart is nobody's any more.
  sudo -n pfctl -q -X "$(cat "{_FOLDER}/pf.token")" >/dev/null 2>&1
  rm -f "{_FOLDER}/pf.token" "{_FOLDER}/pf.log"
fi
rm -f "{_FOLDER}/drained" "{_FOLDER}/pf.rules\""""
