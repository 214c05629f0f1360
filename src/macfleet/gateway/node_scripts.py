"""What the node's half of a drain runs on a Mac: one POSIX script a step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from macfleet.gateway.closing import ANCHOR, FOLDER, close, reopen
from macfleet.model.node import Arm
from macfleet.model.shell import quote
from macfleet.rollout.arms import ENVIRONMENT, wait_until_healthy
from macfleet.rollout.drain_state import Service

STALE = 76
"""Exit status: the node was written by a newer lease."""
WORDS = 500
"""Characters of a reason, and of a failure, that the node's own file keeps."""
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
if [ -f "{FOLDER}/service.json" ]; then
  printf 'service '; head -c 65536 "{FOLDER}/service.json" | tr -d '\\n'; echo
fi
{_lines(f"echo {quote(f'port {way.port} {way.project}')}" for way in target.ways)}
[ ! -s "{FOLDER}/pf.token" ] || sudo -n pfctl -a {ANCHOR} -s rules 2>/dev/null | sed 's/^/rule /'
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
umask 077; mkdir -p "{FOLDER}" || exit 1
known=$(sed -n 's/.*"token": *\\([0-9][0-9]*\\).*/\\1/p' "{FOLDER}/service.json" 2>/dev/null)
[ "${{known:-0}}" -le {service.token} ] || exit {STALE}
printf '%s\\n' {quote(text)} >"{FOLDER}/service.json.new" || exit 1
mv "{FOLDER}/service.json.new" "{FOLDER}/service.json" || exit 1
{close([way.port for way in target.ways]) if service.closed else reopen()}
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


def _lines(texts: Iterator[str]) -> str:
    return "\n".join(texts)
