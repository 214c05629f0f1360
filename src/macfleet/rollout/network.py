"""Stage 4's measurement: both network modes, each from inside, from the node and from the client.

The serving project is stopped first; each mode is served by the very Compose file that stage 3 would
render for it, under a project name of its own that is removed whatever happens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from macfleet.analysis.network import choose_mode, path_summary
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import Vantage
from macfleet.model.node import Arm, Node
from macfleet.model.resource import Put, Step
from macfleet.model.shell import quote
from macfleet.model.stage import StageName
from macfleet.rollout import arms
from macfleet.rollout.desired import Desired, NetworkChoice
from macfleet.rollout.ports import Ports

MODES = ("bridge", "host")
_PROOF = "macfleet-proof"


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkProfile:
    """How much a proof asks of each path: requests on kept connections and on new ones."""

    requests: int = 300
    fresh: int = 100
    margin: float = 0.10


def measure_network(
    node: Node, desired: Desired, ports: Ports, profile: NetworkProfile, run_id: str
) -> dict[str, Json]:
    """Return the proof: latencies by ``mode/vantage/connection`` and the mode that follows from them."""
    transport = ports.transports.to(node)
    had = arms.is_running(node, Arm.CONTAINER, transport)
    if had:
        arms.stop(node, Arm.CONTAINER, transport)
    paths: dict[str, Json] = {}
    try:
        for mode in MODES:
            ports.go_on(node.name)
            paths |= _measure_mode(mode, node, desired, ports, profile)
    finally:
        _remove_proof(node, ports)
        if had:
            arms.start(node, Arm.CONTAINER, transport)
    current = desired.mode(node)
    mode, why = choose_mode(paths, current=current, margin=profile.margin)
    forwarder = str(node.variables.get("forwarder") or "ssh")
    return {"mode": mode, "why": why, "forwarder": forwarder, "run": run_id, "paths": paths}


def locked_choice(proof: JsonObject) -> NetworkChoice:
    """Return the line of ``network.lock`` a proof asks for."""
    return NetworkChoice(str(proof["mode"]), str(proof["forwarder"]), str(proof["run"]))


def render_lock(choices: Mapping[str, NetworkChoice]) -> str:
    """Return the text of ``network.lock``, sorted by node."""
    head = "# Written by stage 4. Stage 3 renders Compose from it; do not edit.\nnodes:\n"
    lines = (
        f"  {name}: {{mode: {choice.mode}, forwarder: {choice.forwarder}, run: {choice.run}}}\n"
        for name, choice in sorted(choices.items())
    )
    return head + "".join(lines)


def _measure_mode(
    mode: str, node: Node, desired: Desired, ports: Ports, profile: NetworkProfile
) -> dict[str, Json]:
    ports.events.emit(Event("network.mode", node.name, {"mode": mode}))
    container = _serve(mode, node, desired, ports)
    outside = f"{arms.base_url(node, Arm.CONTAINER)}/health"
    # In the container's network no packet filter of the Mac stands between the client and the engine.
    inside = f"http://127.0.0.1:{arms.port_of(node, Arm.CONTAINER)}/health"
    found: dict[str, Json] = {}
    for vantage in (Vantage.IN_CONTAINER, Vantage.NODE_LOOPBACK, Vantage.CLIENT):
        ports.go_on(node.name)
        url = inside if vantage is Vantage.IN_CONTAINER else outside
        for connection, count in (("keep-alive", profile.requests), ("fresh", profile.fresh)):
            answer = _ping(vantage, url, node, ports, container, count=count, keep=connection == "keep-alive")
            found[f"{mode}/{vantage}/{connection}"] = answer
    return found


def _ping(
    vantage: Vantage,
    url: str,
    node: Node,
    ports: Ports,
    container: str,
    *,
    count: int,
    keep: bool,
) -> JsonObject:
    try:
        # The client joins the network of the container that a variable names.
        joined = dataclasses.replace(node, variables={**node.variables, "loadgen_container": container})
        found = ports.load.ping(joined, vantage, url, requests=count, keep_alive=keep)
    except MacfleetError as error:
        return {"n": 0, "problem": str(error.diagnostics[0].summary)}
    return path_summary(found.ms, found.errors, found.time_wait)


def _serve(mode: str, node: Node, desired: Desired, ports: Ports) -> str:
    """Start the proof project in one mode, wait for /health on the node's loopback; return its container."""
    other = NetworkChoice(mode, "", "")
    wanted = dataclasses.replace(desired, network={**desired.network, node.name: other})
    compose = _compose_file(wanted, node)
    folder = f"{compose.path.rpartition('/')[0]}/proof"
    path = f"{folder}/compose.yaml"
    script = f"""{arms.ENVIRONMENT}
mkdir -p {quote(folder)} && cat >{quote(path)} &&
docker compose -p {_PROOF} -f {quote(path)} down --remove-orphans --timeout 5 >&2
docker compose -p {_PROOF} -f {quote(path)} up -d --pull never --no-build >&2 || exit 1
{arms.wait_until_healthy(arms.base_url(node, Arm.CONTAINER), 90)}
docker compose -p {_PROOF} -f {quote(path)} ps -q {quote(_service(node))}"""
    done = ports.transports.to(node).run(script, deadline=180, stdin=[compose.content])
    container = done.stdout.decode("utf-8", "replace").strip()
    if done.exit != 0 or not container:
        said = done.stderr.decode("utf-8", "replace").strip()[-400:]
        raise MacfleetError(
            Diagnostic(
                "E0830",
                f"the proof project did not serve in {mode} mode",
                why=f"exit status {done.exit}: {said}",
                mend=f"Check stage 3 first: macfleet rollout stage3 -l {node.name} --check",
                node=node.name,
                exit_code=ExitCode.NODE_FAILED,
            )
        )
    return container.splitlines()[0]


def _compose_file(desired: Desired, node: Node) -> Put:
    path = str(node.variables.get("compose_file", ""))
    for resource in desired.compile(StageName.LAYOUT, node).resources:
        if resource.kind == "file" and resource.address == f"file.{path}":
            steps: tuple[Step, ...] = resource.steps(resource.change(None))
            puts = [step for step in steps if isinstance(step, Put)]
            if puts:
                return puts[0]
    raise MacfleetError(
        Diagnostic(
            "E0831",
            f"stage 3 renders no Compose file at {path or 'compose_file (not set)'}",
            mend="Set compose_file to the path the layout stage writes.",
            node=node.name,
        )
    )


def _remove_proof(node: Node, ports: Ports) -> None:
    script = f"""{arms.ENVIRONMENT}
docker compose -p {_PROOF} down --remove-orphans --timeout 5 >&2 2>&1
ids=$(docker ps -aq --filter label=com.docker.compose.project={_PROOF}) && [ -n "$ids" ] && docker rm -f $ids
exit 0"""
    ports.transports.to(node).run(script, deadline=90)


def _service(node: Node) -> str:
    return str(node.variables.get("compose_service") or "engine")
