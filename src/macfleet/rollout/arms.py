"""The arms of a node: where each engine listens, and how one is stopped and started."""

from __future__ import annotations

from dataclasses import replace

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm, Node
from macfleet.model.ports import Transport
from macfleet.model.shell import quote

# A DOCKER_CONFIG of our own: no keychain helper, and Homebrew's plugin folder is known.
ENVIRONMENT = """PATH=/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin; export PATH
LC_ALL=C; export LC_ALL
DOCKER_HOST="unix://$HOME/.colima/default/docker.sock"; export DOCKER_HOST
DOCKER_CONFIG="$HOME/.macfleet/docker"; export DOCKER_CONFIG"""

# No variable of an inventory can have this name.
_ENTRY = "entry of a closed node"


def port_of(node: Node, arm: str) -> int:
    """Return the port of the arm's engine on the node's loopback, from the node's variables."""
    name = "engine_port" if arm == Arm.CONTAINER else "bare_port"
    value = node.variables.get(name)
    if isinstance(value, int):
        return value
    raise MacfleetError(
        Diagnostic("E0820", f"variable {name} is not a port number", node=node.name, mend=f"Set {name}.")
    )


def project_of(node: Node) -> str:
    """Return the Compose project of the node's container arm."""
    return str(node.variables.get("compose_project") or node.pool or "macfleet")


def behind(node: Node, entry: int) -> Node:
    """Return a node whose container arm is reached at `entry`, its port being closed; 0 changes nothing."""
    return replace(node, variables={**node.variables, _ENTRY: entry}) if entry else node


def base_url(node: Node, arm: str) -> str:
    """Return the arm's URL as seen from the node's loopback; of a closed node the one that is let in."""
    entry = node.variables.get(_ENTRY)
    port = entry if arm == Arm.CONTAINER and isinstance(entry, int) else port_of(node, arm)
    return f"http://127.0.0.1:{port}"


def start(node: Node, arm: str, transport: Transport, *, limit: float = 120) -> None:
    """Start the arm's engine and wait until it answers /health; raises MacfleetError E0821 (exit 4)."""
    if arm == Arm.CONTAINER:
        begin = f"docker compose -p {quote(project_of(node))} start >&2"
    else:
        label = quote(_label(node))
        plist = quote(f"/Library/LaunchDaemons/{_label(node)}.plist")
        begin = (
            f"launchctl print system/{label} >/dev/null 2>&1 || sudo -n launchctl bootstrap system {plist}\n"
            f"sudo -n launchctl kickstart system/{label} >&2 || :"
        )
    _run(
        node,
        arm,
        transport,
        f"{begin}\n{wait_until_healthy(base_url(node, arm), limit)}",
        limit + 30,
        "start",
    )


def stop(node: Node, arm: str, transport: Transport) -> None:
    """Stop the arm's engine and wait until its port is closed; raises MacfleetError E0821 (exit 4)."""
    if arm == Arm.CONTAINER:
        end = f"docker compose -p {quote(project_of(node))} stop >&2"
    else:
        label = quote(_label(node))
        end = f"sudo -n launchctl bootout system/{label} >&2 || [ $? = 3 ]"
    _run(node, arm, transport, f"{end}\n{_wait_closed(base_url(node, arm))}", 120, "stop")


def is_running(node: Node, arm: str, transport: Transport) -> bool:
    """Return whether the arm's engine answers /health now."""
    url = quote(f"{base_url(node, arm)}/health")
    return transport.run(f"{ENVIRONMENT}\ncurl -fsS -m 3 -o /dev/null {url}", deadline=30).exit == 0


def _run(node: Node, arm: str, transport: Transport, script: str, deadline: float, verb: str) -> None:
    done = transport.run(f"{ENVIRONMENT}\n{script}", deadline=deadline)
    if done.exit != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-400:]
        raise MacfleetError(
            Diagnostic(
                "E0821",
                f"the {arm} engine did not {verb}",
                why=f"exit status {done.exit}: {said}",
                mend=f"Look at it: macfleet rollout stage3 -l {node.name} --check",
                node=node.name,
                exit_code=ExitCode.NODE_FAILED,
            )
        )


def wait_until_healthy(url: str, limit: float) -> str:
    """Return script text that polls /health: Lima's guest agent takes seconds to forward a new port."""
    return f"""n=0
until curl -fsS -m 2 -o /dev/null {quote(url + "/health")} 2>/dev/null; do
  n=$((n + 1)); [ "$n" -ge {round(limit * 5)} ] && {{ echo 'no answer on /health' >&2; exit 1; }}
  sleep 0.2
done"""


def _wait_closed(url: str) -> str:
    return f"""n=0
while curl -s -m 1 -o /dev/null {quote(f"{url}/health")} 2>/dev/null; do
  n=$((n + 1)); [ "$n" -ge 150 ] && {{ echo 'the port still answers' >&2; exit 1; }}
  sleep 0.2
done"""


def _label(node: Node) -> str:
    return str(node.variables.get("bare_label") or "com.macfleet.engine")
