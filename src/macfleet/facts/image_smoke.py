"""Starts a Compose service once without a way out, to find what it would fetch at run time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from macfleet.facts.model_bytes import shown
from macfleet.model.resource import ProbeOutput
from macfleet.model.shell import quote

# What resolvers, curl, Go, Python's requests and llama.cpp say when a host cannot be reached. An extended
# regular expression for grep -i on the node.
_FETCHES = (
    r"could(n.t| not) resolve|name or service not known|name resolution|no such host|getaddrinfo|"
    r"network is unreachable|no route to host|failed to download|download failed|max retries exceeded|"
    r"outgoing traffic has been disabled|offline mode|cannot reach|curl: \((6|7|28)\)"
)
_HOSTS = (
    re.compile(r"https?://([A-Za-z0-9.-]+)"),
    re.compile(r"host='([A-Za-z0-9.-]+)'"),
    re.compile(r"(?:lookup|resolve host:?|resolve hostname:?) ([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)"),
)
_NETWORKS = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
_IMAGE = "{{.Config.Image}}"
_STATE = "{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}}"
# The project of the trial has the container's name, so that nothing of the serving project is touched.
_SCRIPT = """\
file={file}; service={service}; name={name}
work=$(mktemp -d) || exit 1
trial() {{ docker compose -p "$name" -f "$file" -f "$work/closed.yaml" "$@"; }}
clean() {{
  docker rm -f "$name"
  trial down --remove-orphans
  rm -rf "$work"
}}
trap 'clean >/dev/null 2>&1' EXIT
trap 'exit 1' HUP INT TERM
[ -f "$file" ] || {{ echo 'state missing 0 -'; exit 0; }}
serving=$(docker compose -p {project} -f "$file" ps --status running --quiet) || exit 1
[ -z "$serving" ] || {{ echo 'state serving 0 -'; exit 0; }}
printf 'networks: {{default: {{internal: true}}}}\\n' >"$work/closed.yaml"
begun=$(date +%s)
if ! trial run -d --no-deps --name "$name" "$service" >"$work/said" 2>&1; then
  echo 'state refused 0 -'
  tail -n 5 "$work/said" | cut -c 1-300 | sed 's/^/last /'
  exit 0
fi
for network in $(docker inspect --format {networks} "$name"); do
  closed=$(docker network inspect --format '{{{{.Internal}}}}' "$network")
  [ "$closed" = true ] || {{ echo 'state open 0 -'; exit 0; }}
done
n=0
while :; do
  state=$(docker inspect --format {state} "$name") || exit 1
  case $state in running*healthy | exited* | dead*) [ "${{state##* }}" = unhealthy ] || break ;; esac
  [ "$n" -lt {limit} ] || break
  n=$((n + 1)); sleep 1
done
took=$(($(date +%s) - begun))
echo "state $state"
case $state in 'running '*' healthy') echo "cold $took $(docker inspect --format {image} "$name")" ;; esac
docker logs "$name" >"$work/log" 2>&1
grep -iE {fetches} "$work/log" | head -n 20 | cut -c 1-300 | sed 's/^/fetch /'
tail -n 5 "$work/log" | cut -c 1-300 | sed 's/^/last /'
exit 0
"""


@dataclass(frozen=True, slots=True)
class SmokeStart:
    """How the trial ended.

    Attributes:
        state: ``running``, ``exited``, … of the container; ``missing`` (no Compose file), ``serving`` (the
            project runs, so nothing was tried), ``refused`` (Compose did not start it) or ``open`` (a network
            of the container has a way out).
        exit_code: of the container; health: ``healthy``, ``-`` for a service without a health check.
        fetches: lines of its log that tell of a host that was not reached; last: its last lines. Untrusted.
        seconds: from Compose's start to a healthy container by the node's clock, whole ones; None where it
            did not become healthy, or has no health check.
        image: what the container's image is called, where `seconds` is known.
    """

    state: str
    exit_code: int
    health: str
    fetches: tuple[str, ...]
    last: tuple[str, ...]
    seconds: int | None = None
    image: str = ""


def smoke_script(file: str, service: str, project: str, name: str, limit: int) -> str:
    """Return POSIX sh that starts a service on a network without a way out, and removes it whatever happens.

    Args:
        file: Compose file on the node.
        service: its service.
        project: project that serves; while it runs nothing is tried.
        name: of the trial's container and project, of this trial alone.
        limit: seconds to become healthy, or to run where there is no health check.
    """
    return _SCRIPT.format(
        file=quote(file),
        service=quote(service),
        project=quote(project),
        name=quote(name),
        limit=limit,
        fetches=quote(_FETCHES),
        networks=quote(_NETWORKS),
        image=quote(_IMAGE),
        state=quote(_STATE),
    )


def parse_smoke(output: ProbeOutput) -> SmokeStart:
    """Return how the trial ended (raises ValueError when the node did not print what the script prints)."""
    lines = output.stdout.splitlines()
    states = [line.split() for line in lines if line.startswith("state ")]
    if output.exit != 0 or len(states) != 1 or len(states[0]) != 4 or not states[0][2].isdecimal():
        said = output.stderr.strip().splitlines()
        raise ValueError(f"the trial did not end: {shown(said[-1]) if said else 'nothing was said'}")
    _, state, code, health = states[0]
    fetches = tuple(line.removeprefix("fetch ") for line in lines if line.startswith("fetch "))
    last = tuple(line.removeprefix("last ") for line in lines if line.startswith("last "))
    cold = [line.split() for line in lines if line.startswith("cold ")]
    timed = len(cold) == 1 and len(cold[0]) == 3 and cold[0][1].isdecimal()
    seconds, image = (int(cold[0][1]), cold[0][2]) if timed else (None, "")
    return SmokeStart(state, int(code), health, fetches, last, seconds, image)


def smoke_faults(found: SmokeStart) -> tuple[str, ...]:
    """Return why the container is not one that needs no network; empty when it is."""
    said = f": {shown(found.last[-1])}" if found.last else ""
    words = {
        "missing": "there is no Compose file yet",
        "serving": "the project is serving, and a second engine beside it may take its memory",
        "refused": f"Compose did not start it{said}",
        "open": "its networks have a way out, so that nothing is proven (network_mode: host?)",
    }
    if found.state in words:
        return (words[found.state],)
    faults = [f"it fetches at run time{_host(line)}: {shown(line)}" for line in found.fetches]
    if found.state != "running":
        faults.append(f"without a network it ends with status {found.exit_code}{said}")
    elif found.health not in ("healthy", "-"):
        faults.append(f"without a network it is {found.health}{said}")
    return tuple(faults)


def _host(line: str) -> str:
    found = next((match for pattern in _HOSTS if (match := pattern.search(line))), None)
    return f" from {found[1]}" if found else ""
