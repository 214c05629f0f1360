"""Every command with its place and one-line help, written out so that `--help` imports none of them."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command's Click object lives and what `macfleet --help` says of it."""

    module: str
    attribute: str
    help: str


COMMANDS: dict[str, Entry] = {
    "apply": Entry("macfleet.cli.playbook", "apply", "Carry a playbook out on the nodes it names."),
    "attest": Entry("macfleet.cli.decide", "attest", "Record that a colleague reproduced the service."),
    "budget": Entry("macfleet.cli.budget", "budget", "Where a request's milliseconds go, against budget."),
    "compare": Entry("macfleet.cli.compare", "compare", "One comparison out of many nodes' runs."),
    "completion": Entry("macfleet.cli.completion", "completion", "What a shell needs to complete commands."),
    "contract": Entry("macfleet.cli.contract", "contract", "Freeze, check and show what is promised."),
    "cordon": Entry("macfleet.cli.drain", "cordon", "Mark nodes as leaving; they go on serving."),
    "drain": Entry("macfleet.cli.drain", "drain", "Take nodes out of service, within a deadline."),
    "cost": Entry("macfleet.cli.cost", "cost", "Cost per million tokens; rent or own."),
    "decide": Entry("macfleet.cli.decide", "decide", "Keep the container path? Thresholds and matrix."),
    "diagnose": Entry("macfleet.cli.diagnose", "diagnose", "Symptoms, evidence for and against causes."),
    "diff": Entry("macfleet.cli.difference", "difference", "What changed from run to run, the image first."),
    "docs": Entry("macfleet.cli.docs", "docs", "Annotated YAML of any resource, gate or file."),
    "drift": Entry("macfleet.cli.playbook", "drift", "What differs from a playbook; changes nothing."),
    "enrol": Entry("macfleet.cli.reach", "enrol", "Learn the host keys of nodes, with fingerprints."),
    "exec": Entry("macfleet.cli.reach", "exec_", "Run a command on many nodes."),
    "explain": Entry("macfleet.cli.explain", "explain", "What an error code, gate or threshold means."),
    "facts": Entry("macfleet.cli.facts", "facts", "Typed facts of nodes: versions, memory, chip."),
    "history": Entry("macfleet.cli.history", "history", "Who did what to the fleet, when and why."),
    "image": Entry("macfleet.cli.image", "image", "Resolve, pin, push, verify and prune images by digest."),
    "init": Entry("macfleet.cli.init", "init", "Make a new fleet folder, ready to edit."),
    "inventory": Entry("macfleet.cli.inventory", "inventory", "List, explain and check the inventory."),
    "lab": Entry("macfleet.cli.lab", "lab", "Simulated Mac nodes with real OpenSSH and Docker Engine."),
    "lint": Entry("macfleet.cli.lint", "lint", "Check a whole fleet folder; asks no node."),
    "loadtest": Entry("macfleet.cli.loadtest", "loadtest", "Measure a cell on the side; import results."),
    "lock": Entry("macfleet.cli.lock", "lock", "Who holds a node's lock; break a dead one."),
    "logs": Entry("macfleet.cli.logs", "logs", "What happened on a node in a run."),
    "model": Entry("macfleet.cli.model", "model", "Model files: what is pinned, and whether it is safe."),
    "ping": Entry("macfleet.cli.reach", "ping", "Whether nodes answer over SSH."),
    "plan": Entry("macfleet.cli.playbook", "plan", "What a playbook would change; changes nothing."),
    "promote": Entry("macfleet.cli.promote", "promote", "Give an environment the digests of another."),
    "rollback": Entry("macfleet.cli.rollback", "rollback", "Back to the digest before, drained and proven."),
    "rollout": Entry("macfleet.cli.rollout", "rollout", "The five stages, each a playbook with gates."),
    "run": Entry("macfleet.cli.compare", "run", "List, show, verify and sign recorded runs; bundles."),
    "selftest": Entry("macfleet.cli.selftest", "selftest", "How accurate the load client is, here and now."),
    "status": Entry("macfleet.cli.drain_follow", "status", "Which nodes serve, which are out, and why."),
    "uncordon": Entry("macfleet.cli.drain", "uncordon", "Take a cordon, or a running drain, back."),
    "undrain": Entry("macfleet.cli.drain", "undrain", "Bring nodes back: start, warm up, prove, open."),
    "watch": Entry("macfleet.cli.drain_follow", "watch", "The same, again each time something moves."),
}
