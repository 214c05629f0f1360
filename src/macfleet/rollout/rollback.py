"""`macfleet rollback`: which release each node goes back to, and the proof that it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from macfleet.contract.releases import Release, ReleaseLock
from macfleet.engine import observe
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm, Node
from macfleet.model.quantity import iso
from macfleet.model.resource import Probe, ProbeOutput, State
from macfleet.model.shell import quote
from macfleet.resources.docker_client import guarded
from macfleet.rollout.arms import base_url, project_of
from macfleet.rollout.desired import Desired
from macfleet.rollout.ports import Ports
from macfleet.rollout.result import FAILURES, NodeOutcome, NodeResult, failed_result

_RUNNING = "images of the containers"
_LINE = '{{index .Config.Labels "com.docker.compose.service"}} {{.Image}} {{.State.Running}}'


@dataclass(frozen=True, slots=True)
class Return:
    """A node that goes back.

    Attributes:
        now: the release it is to run until then; to: the one it goes back to.
        path: file of its lock, whose releases are `known`.
        finishes: whether its lock says so already, and an earlier rollback did not prove it.
    """

    node: Node
    now: Release
    to: Release
    path: str
    known: tuple[Release, ...]
    finishes: bool = False

    def manifest(self, image_id: str) -> str:
        """Return the manifest that an image id of the node's engine stands for, the id where none does.

        A containerd store's id is the digest of index or manifest, a classic store's that of the config.
        """
        for release in (self.to, *self.known):
            for image in release.images.values():
                found = image.platforms.get(self.node.platform)
                if found is not None and image_id in (found.manifest, found.config, found.index):
                    return found.manifest
        return image_id

    @property
    def wanted(self) -> frozenset[str]:
        """Manifests of the release it goes back to, for its platform."""
        found = (image.platforms.get(self.node.platform) for image in self.to.images.values())
        return frozenset(each.manifest for each in found if each is not None)


@dataclass(frozen=True, slots=True)
class Proof:
    """How one node's return ended; what a rollback is believed by.

    Attributes:
        before, after: manifest digest by service, read from the running containers; None where the node did
            not answer.
        drained: how it left service, empty when it did not.
        routes: what the probe of the promised routes found, in words; proven: whether all of them answer.
        when: RFC 3339 in UTC.
    """

    node: str
    outcome: NodeOutcome
    before: Mapping[str, str] | None
    after: Mapping[str, str] | None
    drained: str
    routes: str
    proven: bool
    who: str
    when: str
    problems: tuple[Diagnostic, ...] = ()


def plan_return(
    node: Node, lock: ReleaseLock, path: str, to: str, served: Callable[[Node, Release], bool]
) -> Return:
    """Return where a node goes back to: the release `to`, or the one in use before its own.

    One that an earlier rollback sent back and that has not `served` since goes on to where it was sent, not
    further.

    Raises:
        MacfleetError: E0687 there is no earlier release, E0692 `to` names none or several (both exit 2).
    """
    now = lock.of(node.name)
    chain = (lock.newest, *lock.earlier)
    if to:
        named = [each for each in chain if each.id.startswith(to)]
        if len(named) != 1:
            raise MacfleetError(_no_such(node, to, path, chain))
        return Return(node, now, named[0], path, chain, finishes=named[0].id == now.id)
    if now.id != lock.newest.id and not served(node, now):
        return Return(node, now, now, path, chain, finishes=True)
    before = lock.before(now)
    if before is None:
        raise MacfleetError(_nothing_before(node, now, path))
    return Return(node, now, before, path, chain)


def read_running(returns: Sequence[Return], ports: Ports) -> dict[str, Mapping[str, str] | None]:
    """Return manifest digest by service of each node's containers; None for a node that does not answer."""
    by_name = {each.node.name: each for each in returns}
    answers = ports.executor.each(tuple(by_name), lambda name: _running(by_name[name], ports))
    found: dict[str, Mapping[str, str] | None] = {}
    for name, answer in answers.items():
        if isinstance(answer, Exception) and not isinstance(answer, MacfleetError):
            raise answer
        found[name] = None if isinstance(answer, Exception) else answer
    return found


def prove(
    returns: Sequence[Return],
    before: Mapping[str, Mapping[str, str] | None],
    results: Mapping[str, NodeResult],
    desired: Desired,
    ports: Ports,
    who: str,
) -> tuple[Proof, ...]:
    """Read each node's digests back and ask its promised routes; never raises for a single node.

    Args:
        returns: who went back.
        before: what they ran, as `read_running` found it.
        results: how the last stage that each node reached ended.
        desired: what is wanted of them now.
        ports: adapters.
        who: the person.
    """
    by_name = {each.node.name: each for each in returns}

    def work(name: str) -> Proof:
        return _prove(by_name[name], before.get(name), results[name], desired, ports, who)

    answers = ports.executor.each(tuple(by_name), work)
    proofs = []
    for answer in answers.values():
        if isinstance(answer, Exception):
            raise answer
        proofs.append(answer)
    return tuple(proofs)


def _prove(
    back: Return,
    before: Mapping[str, str] | None,
    result: NodeResult,
    desired: Desired,
    ports: Ports,
    who: str,
) -> Proof:
    problems = list(result.diagnostics)
    outcome, after, routes, kept = result.outcome, None, "not asked", False
    try:
        after = _running(back, ports)
        if result.outcome not in FAILURES:
            _refuse_others(back, after)
        if not result.out and result.outcome not in FAILURES:
            routes, broken = _asked(back.node, desired, ports)
            kept = not broken
            problems += broken
    except MacfleetError as error:
        if result.outcome not in FAILURES:
            outcome = failed_result(back.node, error).outcome
        problems += error.diagnostics
    if problems and outcome not in FAILURES:
        outcome = NodeOutcome.HELD
    words = result.left.words if result.left else ""
    told = tuple(dict.fromkeys(problems))
    return Proof(
        back.node.name, outcome, before, after, words, routes, kept, who, iso(ports.clock.now()), told
    )


def _running(back: Return, ports: Ports) -> Mapping[str, str]:
    """Return manifest digest by service; empty where nothing runs (raises MacfleetError)."""
    project = quote(f"label=com.docker.compose.project={project_of(back.node)}")
    script = (
        f"docker ps --quiet --no-trunc --filter {project} --filter label=com.docker.compose.oneoff=False |\n"
        f'while read -r id; do docker inspect --format {quote(_LINE)} "$id" </dev/null; done'
    )
    probes = {_RUNNING: Probe(guarded("default", script), _parse)}
    seen = observe(back.node.name, (), ports.transports.to(back.node), nonce=ports.nonce, extra=probes)
    state = seen.extra[_RUNNING] or {}
    return {service: back.manifest(str(image)) for service, image in sorted(state.items())}


def _parse(output: ProbeOutput) -> State:
    first, _, listing = output.stdout.strip().partition("\n")
    if output.exit != 0 or output.cut or not first.startswith("engine ") or first == "engine silent":
        raise ValueError(f"the containers cannot be listed: {output.stderr.strip() or first or 'no answer'}")
    rows = [line.split(" ") for line in listing.splitlines() if line.strip()]
    if any(len(row) != 3 for row in rows):
        raise ValueError(f"docker inspect printed {listing!r}; expected service, image and whether it runs")
    return {service: image for service, image, runs in rows if runs == "true"}


def _refuse_others(back: Return, after: Mapping[str, str]) -> None:
    """Raise E0690 (exit 4) when a container runs another image than those of the release, or none does."""
    others = {service: digest for service, digest in after.items() if digest not in back.wanted}
    if after and not others:
        return
    told = ", ".join(f"{service} runs {digest}" for service, digest in others.items()) or "nothing runs"
    raise MacfleetError(
        Diagnostic(
            "E0690",
            f"the node does not run release {back.to.id}: {told}",
            why="The digest is read from the running containers, after the stage said that all is done.",
            mend=f"Look at it: macfleet rollout stage3 -l {back.node.name} --check",
            node=back.node.name,
            exit_code=ExitCode.NODE_FAILED,
        )
    )


def _asked(node: Node, desired: Desired, ports: Ports) -> tuple[str, tuple[Diagnostic, ...]]:
    """Probe the promised routes at the published port; return words and what is broken (E0693, exit 7)."""
    report = ports.load.probe(node, Arm.CONTAINER, base_url(node, Arm.CONTAINER), desired.contract)
    broken = tuple(
        Diagnostic(
            "E0693",
            f"{route.route}{' streamed' if route.stream else ''}: {problem}",
            why="It serves the release it went back to, and does not keep what the contract promises.",
            mend=f"Take it out and look: macfleet drain {node.name}",
            node=node.name,
            exit_code=ExitCode.HELD,
        )
        for route in report.routes
        for problem in route.problems
    )
    good = sum(not route.problems for route in report.routes)
    return f"{good} of {len(report.routes)} answer", broken


def _nothing_before(node: Node, now: Release, path: str) -> Diagnostic:
    return Diagnostic(
        "E0687",
        f"{path} knows no release before {now.id}",
        why="A release is kept when another one is pinned or promoted in its place; there was none yet.",
        mend="Name the image that served in images.yml, then: macfleet image pin",
        node=node.name,
    )


def _no_such(node: Node, to: str, path: str, chain: Sequence[Release]) -> Diagnostic:
    return Diagnostic(
        "E0692",
        f"{to} is not one release of {path}",
        why=f"It holds, the newest first: {', '.join(each.id for each in chain)}.",
        mend="Name one of them, or leave --to out for the one before.",
        node=node.name,
    )
