"""What the node's half of a drain runs on a Mac: one POSIX script a step.

The reject rule is pf's. macOS evaluates the anchors below ``com.apple`` in its own rule set, so a rule is
loaded into one of them and /etc/pf.conf stays as it is; ``pfctl -E`` counts who wants pf enabled and gives a
token, which ``pfctl -X`` gives back (pfctl(8), pf.conf(5)). The rule refuses a SYN with a reset; what is
established goes on. Beside it another port of the loopback, the entry, is redirected to the published one and
passes the rule: whoever took the node out proves and measures there. That both work is proven by
connections, not by reading rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from macfleet.model.shell import quote
from macfleet.rollout.arms import ENVIRONMENT
from macfleet.rollout.drain_state import Service

STALE = 76
"""Exit status: the node was written by a newer lease."""
REFUSED_BY_SUDO = 77
"""Exit status: `sudo -n` or pfctl refused."""
STILL_OPEN = 78
"""Exit status: the rule stands and a connection is accepted all the same."""
NO_ENTRY = 79
"""Exit status: the rule stands and the entry leads nowhere."""
ANCHOR = "com.apple/macfleet"
_ENTRY_ABOVE = 10000
_PORTS = 65536
_FOLDER = "$HOME/.macfleet"


@dataclass(frozen=True, slots=True)
class Target:
    """What is drained on a node: a Compose project and its published port; the model warms it up."""

    project: str
    port: int
    model: str = ""

    @property
    def listing(self) -> str:
        """Script text that lists the project's containers: id, state, status."""
        return (
            f"docker ps -a --no-trunc --filter {quote(f'label=com.docker.compose.project={self.project}')}"
            " --filter label=com.docker.compose.oneoff=False --format '{{.ID}}|{{.State}}|{{.Status}}'"
        )

    @property
    def entry(self) -> int:
        """The port of the loopback that leads to the engine while its own is closed, 10000 further on."""
        return (self.port + _ENTRY_ABOVE - 1) % (_PORTS - 1) + 1

    @property
    def url(self) -> str:
        """The engine as seen from its own container, which no rule of the Mac concerns."""
        return f"http://127.0.0.1:{self.port}"


def look(target: Target) -> str:
    """Return the script that prints the node's file, rule, connections, containers and engine metrics."""
    engine = quote(f"{target.url}/metrics")
    slots = quote(f"{target.url}/slots")
    return f"""{ENVIRONMENT}
if [ -f "{_FOLDER}/service.json" ]; then
  printf 'service '; head -c 8192 "{_FOLDER}/service.json" | tr -d '\\n'; echo
fi
[ ! -s "{_FOLDER}/pf.token" ] || sudo -n pfctl -a {ANCHOR} -s rules 2>/dev/null | sed 's/^/rule /'
{_connections(target)}
[ -S "${{DOCKER_HOST#unix://}}" ] && command -v docker >/dev/null 2>&1 || {{ echo 'engine absent'; exit 0; }}
containers=$({target.listing} </dev/null 2>/dev/null) || {{ echo 'engine silent'; exit 0; }}
echo 'engine ok'
printf '%s\\n' "$containers" | sed -n 's/^..*$/container &/p'
id=$(printf '%s\\n' "$containers" | sed -n 's/^\\([0-9a-f]*\\)|running|.*/\\1/p' | head -n 1)
[ -n "$id" ] || exit 0
docker exec "$id" curl -fsS -m 4 {engine} </dev/null 2>/dev/null | sed -n 's/^llamacpp:requests_/metric /p'
slots=$(docker exec "$id" curl -fsS -m 4 {slots} </dev/null 2>/dev/null | head -c 400000 | tr -d '\\n')
[ -z "$slots" ] || printf 'slots %s\\n' "$slots"
curl -fsS -m 3 -o /dev/null {quote(target.url + "/health")} 2>/dev/null && echo answers; exit 0
"""


def enter(target: Target, service: Service) -> str:
    """Return the script that writes a state on the node and closes or opens its port."""
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
    """Return the script that prints what is in flight, stops the project and lists its containers."""
    return f"""(
{look(target)})
echo 'now stopping'
{ENVIRONMENT}
[ -S "${{DOCKER_HOST#unix://}}" ] || exit 0
containers=$({target.listing} </dev/null) || exit 1
[ -n "$containers" ] || exit 0
docker compose -p {quote(target.project)} stop </dev/null >&2 || exit 1
{target.listing} </dev/null | sed -n 's/^..*$/container &/p'
"""


def start(target: Target, limit: float) -> str:
    """Return the script that starts the project, waits until it is healthy and asks it for one answer.

    It prints ``nothing`` where the project has no container.
    """
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": "Say one word."}],
        "max_tokens": 4,
    }
    ask = (
        f"docker exec \"$id\" curl -fsS -m 120 -H 'Content-Type: application/json' -o /dev/null"
        f" -d {quote(json.dumps(body))} {quote(target.url + '/v1/chat/completions')} </dev/null >&2 || exit 1"
    )
    return f"""{ENVIRONMENT}
if [ ! -S "${{DOCKER_HOST#unix://}}" ]; then
  [ ! -d "$HOME/.colima/default" ] || {{ echo 'the VM is down' >&2; exit 1; }}
  echo nothing; exit 0
fi
containers=$({target.listing} </dev/null) || exit 1
[ -n "$containers" ] || {{ echo nothing; exit 0; }}
docker compose -p {quote(target.project)} start </dev/null >&2 || exit 1
n=0
until {target.listing} </dev/null |
  awk -F'|' '$2 != "running" || $3 ~ /starting|unhealthy/ {{ bad = 1 }} END {{ exit bad }}'; do
  n=$((n + 1)); [ "$n" -lt {round(limit * 4)} ] || {{ echo 'not healthy in time' >&2; exit 1; }}
  sleep 0.25
done
id=$({target.listing} </dev/null | sed -n 's/^\\([0-9a-f]*\\)|running|.*/\\1/p' | head -n 1)
{ask if target.model else ":"}
"""


def document(service: Service) -> str:
    """Return the node's file: one line of JSON."""
    return json.dumps(
        {
            "schema": 1,
            "state": str(service.state),
            "reason": service.reason,
            "who": service.who,
            "since": service.since,
            "deadline": service.deadline,
            "failure": service.failure,
            "token": service.token,
            "run": service.run,
        }
    )


def _connections(target: Target) -> str:
    # The Mac's side of the published port; a half-closed client still waits for its answer.
    states = "ESTABLISHED|CLOSE_WAIT"
    return (
        f"netstat -an -p tcp | awk '$6 ~ /^({states})$/ && $4 ~ /[.]{target.port}$/"
        ' {print "connection", $5}\''
    )


def _close(target: Target) -> str:
    # The marker first: a Mac that restarts now must not bring the containers back.
    here = "127.0.0.1 port"
    lets_in = f"rdr pass on lo0 inet proto tcp from any to {here} {target.entry} -> {here} {target.port}"
    refuses = f"block return in quick proto tcp from any to any port {target.port} flags S/SA"
    entry = quote(f"http://127.0.0.1:{target.entry}/health")
    return f""": >"{_FOLDER}/drained" || exit 1
curl -s -m 2 -o /dev/null {quote(target.url + "/health")}; before=$?
printf '%s\\n' {quote(lets_in)} {quote(refuses)} | sudo -n pfctl -q -a {ANCHOR} -f - 2>"{_FOLDER}/pf.log" ||
  {{ tail -n 2 "{_FOLDER}/pf.log" >&2; exit {REFUSED_BY_SUDO}; }}
token=$(cat "{_FOLDER}/pf.token" 2>/dev/null)
if [ -z "$token" ] || ! sudo -n pfctl -s References 2>/dev/null | grep -q -w -e "$token"; then
  sudo -n pfctl -E 2>&1 | sed -n 's/^Token : *//p' >"{_FOLDER}/pf.token"
  [ -s "{_FOLDER}/pf.token" ] || {{ echo 'pfctl -E gave no token' >&2; exit {REFUSED_BY_SUDO}; }}
fi
curl -s -m 2 -o /dev/null {quote(target.url + "/health")}
[ $? = 7 ] || {{ echo 'a connection was not refused' >&2; exit {STILL_OPEN}; }}
[ "$before" = 7 ] && exit 0
curl -s -m 2 -o /dev/null {entry}
[ $? != 7 ] || {{ echo 'a connection to the entry was refused' >&2; exit {NO_ENTRY}; }}"""


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
rm -f "{_FOLDER}/drained\""""
