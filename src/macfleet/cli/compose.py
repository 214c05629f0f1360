"""Compose adapters into the values the core takes: what the fleet folder wants, and the ports."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError, Severity
from macfleet.model.node import Node
from macfleet.model.stage_name import StageName

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.model.contract import Contract
    from macfleet.model.image import LockedImage
    from macfleet.model.ports import Events, Executor, Transports
    from macfleet.playbooks import ParsedPlaybook
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.ports import Ports
    from macfleet.rollout.relay import SiteRelay

PLAYBOOKS = {
    StageName.PROVISION: "playbooks/site.yml",
    StageName.CONTRACT: "playbooks/stage1-contract.yml",
    StageName.IMAGES: "playbooks/stage2-images.yml",
    StageName.LAYOUT: "playbooks/stage3-layout.yml",
    StageName.NETWORK: "playbooks/stage4-network.yml",
    StageName.LOADTEST: "playbooks/stage5-loadtest.yml",
}


def desired_of(
    fleet: FleetContext,
    *,
    last: StageName = StageName.LOADTEST,
    records: bool = True,
    pins: bool = False,
    write: bool = False,
) -> Desired:
    """Read what the fleet folder wants; raises MacfleetError with every problem of all files.

    Args:
        fleet: whose folder.
        last: playbooks of later stages are not read: a stage rests on those before it alone.
        records: what is done will be recorded, with the commit of the folder.
        pins: references by digest that images.lock lacks are resolved at their registry.
        write: they are kept in images.lock.
    """
    from macfleet.cli.image_lock import checked_lock, resolver_of
    from macfleet.cli.image_rules import image_rules
    from macfleet.cli.lock_files import network_lock, weights_lock
    from macfleet.cli.on_demand import SecretsOnDemand
    from macfleet.cli.releases import own_images
    from macfleet.gates import build_gate
    from macfleet.gates.image_rules import ImageRules
    from macfleet.playbooks import load_stage
    from macfleet.rollout.desired import Desired

    problems: list[Diagnostic] = []
    playbooks: dict[StageName, ParsedPlaybook] = {}
    for stage in list(PLAYBOOKS)[: list(PLAYBOOKS).index(last) + 1]:
        try:
            playbooks[stage] = load_stage(fleet.files, PLAYBOOKS[stage])
            for gate in playbooks[stage].gates:
                build_gate(gate)
        except MacfleetError as error:
            problems += error.diagnostics
    contract: Contract | None = None
    try:
        contract = frozen_contract(fleet)
        problems += _memory_problems(fleet, contract)
    except MacfleetError as error:
        problems += error.diagnostics
    locked: Mapping[str, LockedImage] = {}
    try:
        # Without a registry to ask no password is needed, and no keychain is to be unlocked for one.
        with resolver_of(fleet) if pins else nullcontext() as resolver:
            locked = checked_lock(fleet, resolver, write=write)
    except MacfleetError as error:
        problems += error.diagnostics
    own: Mapping[str, Mapping[str, LockedImage]] = {}
    try:
        own = own_images(fleet)
    except MacfleetError as error:
        problems += (each for each in error.diagnostics if each not in problems)
    rules = ImageRules()
    try:
        rules = image_rules(fleet, (locked, *own.values()))
    except MacfleetError as error:
        problems += (each for each in error.diagnostics if each not in problems)
    if problems or contract is None:
        raise MacfleetError(problems)
    commit, dirty = fleet.commit if records else ("", True)
    return Desired(
        contract=contract,
        playbooks=playbooks,
        locked=locked,
        own=own,
        rules=rules,
        network=network_lock(fleet),
        weights=weights_lock(fleet),
        edges=edges(fleet.inventory.nodes),
        secrets=SecretsOnDemand(lambda: fleet.secrets),
        commit=commit,
        dirty=dirty,
    )


def _memory_problems(fleet: FleetContext, contract: Contract) -> tuple[Diagnostic, ...]:
    """Return which nodes are smaller than the contract assumes, where it assumes anything."""
    if contract.memory is None:
        return ()
    from macfleet.contract.memory import memory_problems

    return memory_problems(contract, fleet.inventory.nodes)


def edges(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes that are edges: what is delegated to the edge acts on each of them."""
    return tuple(node for node in nodes if node.role == "edge")


def frozen_contract(fleet: FleetContext) -> Contract:
    """Return the contract when it is the frozen one (raises MacfleetError, exit 2, when it is not)."""
    from macfleet.contract.load import load_folder
    from macfleet.contract.lock import check, parse_lock

    folder = load_folder(fleet.files)
    path = "contract/contract.lock"
    lock = parse_lock(fleet.files.read(path), path) if fleet.files.exists(path) else None
    problems = [d for d in check(folder, lock) if d.severity is Severity.ERROR]
    if problems:
        raise MacfleetError(problems)
    return folder.contract


def stage_nodes(fleet: FleetContext, desired: Desired, stage: StageName, limit: str) -> tuple[Node, ...]:
    """Return the nodes of a stage's ``hosts:`` within a limit, in inventory order.

    Each learns what its load client's image is called on it: by digest, or by the tag it gets there.
    """
    hosts = {node.name for node in fleet.nodes(desired.playbooks[stage].hosts)}
    chosen = [node for node in fleet.nodes(limit) if node.name in hosts]
    if not chosen:
        raise MacfleetError(_nobody(limit, desired.playbooks[stage]))
    result = []
    for node in chosen:
        name = _client_of(node, desired)
        result.append(replace(node, variables={"loadgen_image": name, **node.variables}))
    return tuple(result)


def _client_of(node: Node, desired: Desired) -> str:
    """Return the name of the load client's image on a node; empty where none is locked."""
    image = desired.images(node).get("loadgen")
    if image is None:
        return ""
    from macfleet.resources import name_on

    return name_on(node, image)


@contextmanager
def open_ports(fleet: FleetContext, events: Events, *, looks: bool = False) -> Iterator[Ports]:
    """Yield the adapters of one command; connections are closed with the fleet context.

    What only `looks` gets none for handing images on.
    """
    from macfleet.cli.drain_ports import gateway_of
    from macfleet.cli.image_lock import resolver_of
    from macfleet.cli.on_demand import GatewayOnDemand, LoadOnDemand, RegistryOnDemand, RunsOnDemand
    from macfleet.cli.state_on_demand import LocksOnDemand
    from macfleet.executors.controller import ControllerTransport
    from macfleet.executors.threads import ThreadExecutor
    from macfleet.rollout.node_log import LoggedTransports, NodeLogs
    from macfleet.rollout.ports import Ports
    from macfleet.views.redacted_ports import RedactedEvents, RedactedEvidences, RedactedJournal, RedactedRuns

    redactor = fleet.redactor
    logs = NodeLogs(redactor.text)
    kept = fleet.root / ".macfleet" / "blobs"
    transports = LoggedTransports(fleet.transports, logs, fleet.clock)
    executor = ThreadExecutor(fleet.forks or fleet.settings.forks)
    shown = RedactedEvents(events, redactor)
    with (
        closing(RegistryOnDemand(lambda: resolver_of(fleet), kept)) as registry,
        nullcontext() if looks else site_relay(fleet, transports, shown, executor) as relay,
    ):
        yield Ports(
            transports=transports,
            logs=logs,
            controller=ControllerTransport(),
            resolver=registry,
            sources=registry,
            gateway=GatewayOnDemand(lambda: gateway_of(fleet, events)),
            locks=LocksOnDemand(lambda: fleet.locks),
            runs=RedactedRuns(RunsOnDemand(lambda: fleet.runs), redactor),
            evidences=RedactedEvidences(fleet.state_on_demand, redactor),
            journal=RedactedJournal(fleet.state_on_demand, redactor),
            load=LoadOnDemand(fleet.transports),
            executor=executor,
            clock=fleet.clock,
            stop=fleet.stopped.is_set,
            events=shown,
            nonce=fresh,
            relay=relay,
            write_lock=lambda name, text: write_whole(fleet.root / name, text),
        )


@contextmanager
def site_relay(
    fleet: FleetContext, transports: Transports, events: Events, executor: Executor
) -> Iterator[SiteRelay]:
    """Yield what lets nodes of one site hand images on; their relays are removed at the end."""
    from macfleet.engine.refusals import interrupted
    from macfleet.rollout.relay import SiteRelay

    def go_on(node: str) -> None:
        if fleet.stopped.is_set():
            raise interrupted(node, (), {})

    relay = SiteRelay(transports, fleet.clock, fresh, go_on)
    try:
        yield relay
    finally:
        relay.close(executor, events)


def fresh() -> str:
    """Return a text that no node can guess."""
    return secrets.token_hex(12)


def new_run_id(label: str, seconds: float) -> str:
    """Return an id that sorts by time: ``20261123T041205Z-stage3-1a2b``."""
    import datetime as dt

    stamp = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{label}-{secrets.token_hex(2)}"


def confirm(question: str, *, yes: bool) -> None:
    """Ask at the terminal; without one, `--yes` must be given (raises MacfleetError E0111)."""
    import click

    if yes:
        return
    if not sys.stdin.isatty():
        raise MacfleetError(
            Diagnostic(
                "E0111", "there is nobody to ask", why=question, mend="Add --yes, or look with --check."
            )
        )
    if not click.confirm(question, err=True):
        raise click.Abort


def _nobody(limit: str, playbook: ParsedPlaybook) -> Diagnostic:
    from macfleet.model.exit_codes import ExitCode

    return Diagnostic(
        "E0222",
        f'no node is both in "{limit}" and in hosts: {playbook.hosts}',
        where=Location(playbook.file),
        mend="See who is where: macfleet inventory graph",
        exit_code=ExitCode.NOTHING_SELECTED,
    )
