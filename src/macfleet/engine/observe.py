"""Read a node's actual state in one exec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.engine.answer import unbundle
from macfleet.engine.refusals import WITHOUT_ASKING, wants_password
from macfleet.engine.script import bundle, probe_fragments
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Transport
from macfleet.model.resource import Probe, ProbeOutput, Resource, State


@dataclass(frozen=True, slots=True)
class Observation:
    """What a node answered.

    Attributes:
        states: actual state by resource address; None means absent.
        extra: parsed answers of further probes by name; None means absent.
        answers: what was printed for each resource, by address. It stays in memory: a digest in it may be
            that of a secret.
    """

    states: Mapping[str, State | None]
    extra: Mapping[str, State | None] = field(default_factory=dict)
    answers: Mapping[str, ProbeOutput] = field(default_factory=dict, repr=False, compare=False)


def observe(
    node: str,
    resources: Sequence[Resource],
    transport: Transport,
    *,
    nonce: Callable[[], str],
    extra: Mapping[str, Probe] | None = None,
    ahead: Mapping[str, ProbeOutput] | None = None,
) -> Observation:
    """Run every probe in one exec and parse the answers.

    `ahead` holds answers that are there already, by the probe's script; when it has all, nothing is run.

    Raises:
        NodeUnreachable, DeadlineExceeded: from the transport.
        MacfleetError: E0501, exit 4, naming every probe that was cut or whose answer is not understood.
    """
    probes = _all_probes(resources, extra or {})
    known = ahead or {}
    if all(probe.script in known for probe in probes.values()):
        outputs: Mapping[str, ProbeOutput] = {name: known[probe.script] for name, probe in probes.items()}
    else:
        outputs = ask(probes, transport, nonce=nonce)
    return understand(node, probes, outputs, tuple(resource.address for resource in resources))


def ask(
    probes: Mapping[str, Probe], transport: Transport, *, nonce: Callable[[], str]
) -> Mapping[str, ProbeOutput]:
    """Run probes in one exec and return what each printed, by name; one that did not run is missing.

    Raises:
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    mark = nonce()
    fragments = probe_fragments(probes)
    done = transport.run(bundle(fragments, nonce=mark), deadline=deadline_of(probes))
    stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return unbundle(fragments, stdout, nonce=mark, stderr=stderr)


def understand(
    node: str, probes: Mapping[str, Probe], outputs: Mapping[str, ProbeOutput], addresses: Sequence[str]
) -> Observation:
    """Parse outputs; raises MacfleetError E0501 with all that could not be understood."""
    parsed: dict[str, State | None] = {}
    problems: list[Diagnostic] = []
    for name, probe in probes.items():
        output = outputs.get(name)
        if output is None or output.cut:
            problems.append(_unanswered(node, name, output, probe))
            continue
        try:
            parsed[name] = probe.parse(output)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            problems.append(_misunderstood(node, name, output, error))
    if problems:
        raise MacfleetError(problems)
    known = set(addresses)
    return Observation(
        states={name: state for name, state in parsed.items() if name in known},
        extra={name: state for name, state in parsed.items() if name not in known},
        answers={name: output for name, output in outputs.items() if name in known},
    )


def deadline_of(probes: Mapping[str, Probe]) -> float:
    """Return the seconds one exec of these probes may take at most; never without an end."""
    return 30.0 + sum(probe.limit for probe in probes.values())


def _all_probes(resources: Sequence[Resource], extra: Mapping[str, Probe]) -> dict[str, Probe]:
    return {resource.address: resource.probe() for resource in resources} | dict(extra)


def _unanswered(node: str, name: str, output: ProbeOutput | None, probe: Probe) -> Diagnostic:
    cut = output is not None
    return Diagnostic(
        "E0502" if cut else "E0503",
        f"probe {name} was stopped after {probe.limit:.0f} s" if cut else f"probe {name} gave no answer",
        why="The node answered others of the same script, so this program hangs or was killed.",
        mend=f"Look at it by hand: macfleet exec -l {node} -- uptime",
        node=node,
        address=name,
        exit_code=ExitCode.NODE_FAILED,
    )


def _misunderstood(node: str, name: str, output: ProbeOutput, error: Exception) -> Diagnostic:
    """Return E0501: a probe failed on the node, or answered in a form that nobody foresaw."""
    shown = (output.stderr.strip() or output.stdout.strip())[:300]
    failed = output.exit != 0
    mend = "Run with -v and report what it printed; an unreadable answer is never taken for 'absent'."
    if failed:
        mend = "Mend the cause on the node; what cannot be looked at is never taken for 'absent'."
    return Diagnostic(
        "E0501",
        f"the probe of {name} failed: {error}"
        if failed
        else f"the answer of {name} is not understood: {error}",
        why=f"exit status {output.exit}, it printed: {shown!r}",
        mend=WITHOUT_ASKING if wants_password(output) else mend,
        node=node,
        address=name,
        exit_code=ExitCode.NODE_FAILED,
    )
