"""The arms of a node: where each engine listens, and how one is stopped and started."""

from __future__ import annotations

from dataclasses import replace

from macfleet.facts.engine_libraries import bare_libraries_script, container_libraries_script, parse_blas
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm, Node
from macfleet.model.ports import Transport
from macfleet.model.shell import quote
from macfleet.rollout import bare_cpu

# A DOCKER_CONFIG of our own: no keychain helper, and Homebrew's plugin folder is known.
ENVIRONMENT = """PATH=/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin; export PATH
LC_ALL=C; export LC_ALL
DOCKER_HOST="unix://$HOME/.colima/default/docker.sock"; export DOCKER_HOST
DOCKER_CONFIG="$HOME/.macfleet/docker"; export DOCKER_CONFIG"""

# No variable of an inventory can have this name.
_ENTRY = "entry of a closed node"
_ENTRY_ABOVE = 10000
_PORT_NUMBERS = 65536
_PORTS = {Arm.CONTAINER: "engine_port", Arm.HOST_ENGINE: "front_port"}


def port_of(node: Node, arm: str) -> int:
    """Return the port of the arm's engine on the node's loopback, from the node's variables.

    Both bare arms are one engine at one port; host-engine is measured at the port of its front.
    """
    name = _PORTS.get(Arm(arm), "bare_port")
    value = node.variables.get(name)
    if isinstance(value, int):
        return value
    raise MacfleetError(
        Diagnostic("E0820", f"variable {name} is not a port number", node=node.name, mend=f"Set {name}.")
    )


def project_of(node: Node) -> str:
    """Return the Compose project of the node's container arm."""
    return str(node.variables.get("compose_project") or node.pool or "macfleet")


def front_of(node: Node) -> str:
    """Return the Compose project of the front that the host-engine arm puts before the bare engine."""
    return str(node.variables.get("front_project") or f"{project_of(node)}-front")


def entry_to(port: int) -> int:
    """Return the port of the loopback that leads to a closed port, 10000 further on."""
    return (port + _ENTRY_ABOVE - 1) % (_PORT_NUMBERS - 1) + 1


def behind(node: Node, entry: int) -> Node:
    """Return a node whose container arm is reached at `entry`, its ports being closed; 0 changes nothing.

    The front of host-engine is then reached at its own entry.
    """
    return replace(node, variables={**node.variables, _ENTRY: entry}) if entry else node


def base_url(node: Node, arm: str) -> str:
    """Return the arm's URL as seen from the node's loopback; of a closed node the one that is let in."""
    entry = node.variables.get(_ENTRY)
    if isinstance(entry, int) and arm in _PORTS:
        return f"http://127.0.0.1:{entry if arm == Arm.CONTAINER else entry_to(port_of(node, arm))}"
    return f"http://127.0.0.1:{port_of(node, arm)}"


def start(
    node: Node, arm: str, transport: Transport, *, limit: float = 120, lasts: float = bare_cpu.LASTS
) -> None:
    """Start the arm's engine and wait until it answers /health, at most `limit` seconds.

    That of bare-cpu ends by itself after `lasts` seconds, should nobody be left to stop it.

    Raises:
        MacfleetError: E0821 it did not start, E0978 no way is known to keep it off the GPU (both exit 4).
    """
    script = f"{_begin(node, arm, transport, lasts)}\n{wait_until_healthy(base_url(node, arm), limit)}"
    _run(node, arm, transport, script, limit + 30, "start")


def stop(node: Node, arm: str, transport: Transport) -> None:
    """Stop the arm's engine and wait until its port is closed; raises MacfleetError E0821 (exit 4)."""
    script = f"{_end(node, arm)}\n{_wait_closed(base_url(node, arm))}"
    _run(node, arm, transport, script, 120, "stop")


def unload_bare_cpu(node: Node, transport: Transport) -> None:
    """Stop the engine of the bare-cpu arm where one was left running (raises MacfleetError E0821)."""
    _run(node, Arm.BARE_CPU, transport, unload_script(node), 120, "stop")


def unload_script(node: Node) -> str:
    """Return script text that stops the engine of the bare-cpu arm where one is loaded."""
    return bare_cpu.end_script(_label(node))


def is_loaded(node: Node) -> str:
    """Return script text that succeeds where launchd has the engine of the bare-cpu arm."""
    cpu = quote(f"system/{bare_cpu.label_of(_label(node))}")
    return f"launchctl print {cpu} >/dev/null 2>&1"


def gpu_off(node: Node, transport: Transport) -> bare_cpu.CpuDaemon | str:
    """Return how the bare engine is started with the GPU off, or in words why that cannot be."""
    return bare_cpu.derive(node, _label(node), transport)


def blas_of(node: Node, arm: str, transport: Transport) -> str:
    """Return the BLAS backend that the arm's running engine has loaded; empty where it does not show."""
    in_container = arm == Arm.CONTAINER
    if in_container:
        service = str(node.variables.get("compose_service") or "engine")
        script = container_libraries_script(project_of(node), service)
    else:
        own = bare_cpu.label_of(_label(node)) if arm == Arm.BARE_CPU else _label(node)
        script = bare_libraries_script(own)
    done = transport.run(f"{ENVIRONMENT}\n{script}", deadline=60)
    return parse_blas(done.stdout.decode("utf-8", "replace"), mac=not in_container)


def is_running(node: Node, arm: str, transport: Transport) -> bool:
    """Return whether the arm's engine answers /health now."""
    url = quote(f"{base_url(node, arm)}/health")
    # Both bare arms have one port: only launchd tells which of the two answers.
    own = f"{is_loaded(node)} && " if arm == Arm.BARE_CPU else ""
    return transport.run(f"{ENVIRONMENT}\n{own}curl -fsS -m 3 -o /dev/null {url}", deadline=30).exit == 0


def _begin(node: Node, arm: str, transport: Transport, lasts: float) -> str:
    """Return script text that starts an arm's engine without waiting for it."""
    label = quote(_label(node))
    plist = quote(f"/Library/LaunchDaemons/{_label(node)}.plist")
    bare = (
        f"launchctl print system/{label} >/dev/null 2>&1 || sudo -n launchctl bootstrap system {plist}\n"
        f"sudo -n launchctl kickstart system/{label} >&2 || :"
    )
    if arm == Arm.CONTAINER:
        return f"docker compose -p {quote(project_of(node))} start >&2"
    if arm == Arm.HOST_ENGINE:
        return f"{bare}\ndocker compose -p {quote(front_of(node))} start >&2"
    if arm != Arm.BARE_CPU:
        return bare
    daemon = gpu_off(node, transport)
    if isinstance(daemon, str):
        raise MacfleetError(cannot_be_measured(node, daemon))
    return bare_cpu.begin_script(daemon, lasts)


def _end(node: Node, arm: str) -> str:
    """Return script text that stops an arm's engine without waiting for it."""
    bare = f"sudo -n launchctl bootout system/{quote(_label(node))} >&2 || [ $? = 3 ]"
    if arm == Arm.CONTAINER:
        return f"docker compose -p {quote(project_of(node))} stop >&2"
    if arm == Arm.HOST_ENGINE:
        return f"docker compose -p {quote(front_of(node))} stop >&2\n{bare}"
    return unload_script(node) if arm == Arm.BARE_CPU else bare


def cannot_be_measured(node: Node, why: str) -> Diagnostic:
    """Return what is said where bare-cpu cannot be measured, and what to declare so that it can."""
    return Diagnostic(
        "E0978",
        "the arm bare-cpu cannot be measured",
        why=f"{why}. Without it nobody can tell what the GPU is worth from what virtualisation costs.",
        mend="Declare for the node what keeps its engine off the GPU: bare_cpu_arguments or …_environment.",
        node=node.name,
        exit_code=ExitCode.NODE_FAILED,
    )


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
