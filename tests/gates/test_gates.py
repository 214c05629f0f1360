"""Each gate against the evidence that passes it, holds it, or is missing."""

import subprocess
from dataclasses import replace

import pytest

from macfleet.contract.images_policy import ImagePolicy
from macfleet.gates import KINDS, GateContext, WeightsFile, build_gate
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, Route, Slo
from macfleet.model.diagnostic import Location, MacfleetError
from macfleet.model.image import Blob, ResolvedImage
from macfleet.model.load import EndpointReport, RouteCheck
from macfleet.model.node import Arm, Endpoint, Node, Roots
from macfleet.model.resource import ProbeOutput
from macfleet.model.stage import GateSpec, Outcome, ProbeRequest

PLATFORM = "linux/arm64"
REPOSITORY = "registry.example/llama-server"
INDEX, MANIFEST, CONFIG = (f"sha256:{digit * 64}" for digit in "123")
IMAGE = ResolvedImage(
    f"{REPOSITORY}:b1", REPOSITORY, INDEX, MANIFEST, CONFIG, PLATFORM, (Blob(f"sha256:{'4' * 64}", 1),)
)
ROOTS = Roots("/Users/ops/models", "/Users/ops/hf", "/Users/ops/logs")
WEIGHTS = WeightsFile("/Users/ops/models/a b.gguf", 1200, "ab" * 32)
NODE = Node(
    "mac-01",
    Endpoint("mac-01"),
    arms=(Arm.BARE, Arm.CONTAINER),
    roots=ROOTS,
    variables={"accelerator": "cpu"},
)
CONTRACT = Contract(
    "chat-small",
    3,
    "9f2c" * 16,
    "5e" * 32,
    (Route("/v1/chat/completions", stream=True),),
    "small-chat",
    4,
    (1, 4),
    (Bucket("short", 512, 16, Slo(), ()),),
    "short",
    ClientDiscipline(),
    1800.0,
    {},
)
# Everything that may be asked is asked, so that nothing passes for want of a question.
ASKED = ImagePolicy(base="required")
CONTEXT = GateContext(NODE, CONTRACT, {"engine": IMAGE}, (WEIGHTS,), policy=ASKED, scans={})
PARAMS = {"routes_answer": {"arm": "bare"}}


def gate(kind, **params):
    return build_gate(GateSpec(kind, params or PARAMS.get(kind, {})))


def judged(kind, evidence, context=CONTEXT, **params):
    verdict = gate(kind, **params).judge(context, evidence)
    assert (verdict.gate, verdict.node) == (kind, context.node.name)
    assert verdict.reasons or verdict.outcome is Outcome.PASS
    assert bool(verdict.mend) == (verdict.outcome is Outcome.HOLD)  # a hold says what to type next
    return verdict.outcome, verdict.reasons


def holds(kind, evidence, context=CONTEXT, **params):
    outcome, reasons = judged(kind, evidence, context, **params)
    assert outcome is Outcome.HOLD
    return reasons


def parsed(kind, stdout, context=CONTEXT, exit_status=0, **params):
    """The evidence a probing gate gets when its script prints `stdout`."""
    (request,) = gate(kind, **params).needs(context)
    assert isinstance(request, ProbeRequest)
    return {request.name: request.probe.parse(ProbeOutput(exit_status, stdout))}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("evidence", [{}, {"unrelated": {}}])
def test_missing_evidence_never_passes_a_gate(kind, evidence):
    if kind == "contract_frozen":  # its evidence is the contract itself
        evidence, context = {}, replace(CONTEXT, contract=replace(CONTRACT, hash=""))
    else:
        context = CONTEXT
    holds(kind, evidence, context)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"contract_frozen"}))
@pytest.mark.parametrize("value", [None, [], "text", {}, 3])
def test_evidence_of_another_shape_never_passes_a_gate(kind, value):
    names = [request.name for request in gate(kind).needs(CONTEXT)]
    holds(kind, dict.fromkeys(names, value))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_gate_judged_before_a_change_asks_only_for_what_can_be_read(kind):
    found = gate(kind)
    kinds = {type(request).__name__ for request in found.needs(CONTEXT)}
    assert found.kind == kind
    assert not found.before or kinds <= {"ProbeRequest", "ImageRequest"}


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        (GateSpec("mount_local"), "E0801", 'unknown gate "mount_local"'),
        (GateSpec("routes_answer"), "E0802", "gate routes_answer: arm"),
        (GateSpec("routes_answer", {"arm": "bear"}), "E0802", "gate routes_answer: arm"),
        (GateSpec("converged", {"left": 3}), "E0802", "gate converged: left"),
        (GateSpec("mounts_local", {"kinds": "apfs"}), "E0802", "gate mounts_local: kinds"),
    ],
)
def test_a_wrong_line_of_gates_is_refused_with_its_place(spec, code, text):
    where = Location("playbooks/stage3-layout.yml", 9, 7)
    with pytest.raises(MacfleetError) as caught:
        build_gate(replace(spec, where=where))
    (found,) = caught.value.diagnostics
    assert (found.code, found.where) == (code, where)
    assert text in found.summary
    assert int(caught.value.exit_code) == 2


def test_an_unknown_gate_is_answered_with_the_nearest_one():
    with pytest.raises(MacfleetError) as caught:
        build_gate(GateSpec("mount_local"))
    assert "mounts_local" in caught.value.diagnostics[0].mend


def test_contract_frozen_names_the_contract_and_its_hash():
    assert judged("contract_frozen", {}) == (Outcome.PASS, ("chat-small v3 9f2c9f2c9f2c",))


@pytest.mark.parametrize(
    ("plan", "outcome"),
    [
        ({"left": 0, "changed": 3}, Outcome.PASS),
        ({"left": 2, "changed": 0}, Outcome.HOLD),
        ({}, Outcome.HOLD),
    ],
)
def test_converged_passes_when_nothing_is_left(plan, outcome):
    assert judged("converged", {"plan": plan})[0] is outcome


# --- layout ---------------------------------------------------------------------------------------------

MAC = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect, root data)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
/dev/disk7s1 on /Volumes/My Passport (Disk) (exfat, local, nodev, nosuid, noowners)
/dev/disk8s1 on /Volumes/Fast SSD (apfs, local, nodev, nosuid, journaled)
//ops@nas/models on /Users/ops/nas models (smbfs, nodev, nosuid, mounted by ops)
nas:/export on /Users/ops/nfs (nfs, nodev, nosuid)
"""


def mounts(roots, table=MAC, **params):
    context = replace(CONTEXT, node=replace(NODE, roots=roots))
    lines = [
        f"root {n} {p}" for n, p in (("weights", roots.weights), ("cache", roots.cache), ("logs", roots.logs))
    ]
    evidence = parsed("mounts_local", "\n".join([*lines, "mounts", table]), context, **params)
    return judged("mounts_local", evidence, context, **params)


def weights_at(path):
    return replace(ROOTS, weights=path)


def test_roots_on_the_internal_disk_pass():
    assert mounts(ROOTS) == (Outcome.PASS, ())


@pytest.mark.parametrize(
    ("path", "reasons"),
    [
        (
            "/Volumes/My Passport (Disk)/models",
            (
                "weights on /Volumes/My Passport (Disk) (exfat), allowed: apfs",
                "weights on /Volumes/My Passport (Disk) (removable)",
            ),
        ),
        ("/Volumes/Fast SSD/models", ("weights on /Volumes/Fast SSD (removable)",)),
        ("/Volumes/Fast SSD", ("weights on /Volumes/Fast SSD (removable)",)),
        ("/Users/ops/nas models/a", ("weights on /Users/ops/nas models (smbfs), allowed: apfs",)),
        ("/Users/ops/nfs", ("weights on /Users/ops/nfs (nfs), allowed: apfs",)),
        ("/Users/ops/nfs-of-mine", ()),  # a name that merely begins like a mount point
        (
            "/Users/ops/Library/Mobile Documents/models",
            ("weights at /Users/ops/Library/Mobile Documents/models is synced by iCloud",),
        ),
        ("/Users/ops/Documents/models", ("weights at /Users/ops/Documents/models is synced by iCloud",)),
        ("/Users/ops/Desktop", ("weights at /Users/ops/Desktop is synced by iCloud",)),
        ("/Users/ops/hf/models", ("weights at /Users/ops/hf/models lies inside cache at /Users/ops/hf",)),
        ("/Users/ops/mounts", ()),  # a folder named like the marker between roots and table
        ("/Users/ops/mounts models", ()),
    ],
)
def test_weights_that_lie_wrong_hold_with_the_reason(path, reasons):
    outcome, found = mounts(weights_at(path))
    assert found == reasons
    assert outcome is (Outcome.HOLD if reasons else Outcome.PASS)


@pytest.mark.parametrize(
    ("roots", "count"),
    [
        (Roots("/Users/ops/m", "/Users/ops/hf", "/Users/ops/m/logs"), 1),
        (Roots("/Users/ops/m", "/Users/ops/m", "/Users/ops/logs"), 2),
        (Roots("/Users/ops/m", "/Users/ops/m2", "/Users/ops/logs"), 0),
        (Roots("/Users/ops/m/", "/Users/ops/m/hf", "/Users/ops/logs"), 1),
    ],
)
def test_roots_inside_each_other_hold(roots, count):
    assert len([reason for reason in mounts(roots)[1] if "lies inside" in reason]) == count


def test_a_symbolic_link_is_followed_to_where_the_weights_really_lie(tmp_path):
    """The script runs for real here; only `mount` is a Mac's."""
    folder = tmp_path / "My Volumes" / "models"
    folder.mkdir(parents=True)
    link = tmp_path / "it's a link"
    link.symlink_to(folder)
    roots = Roots(str(link), str(tmp_path / "missing"), str(tmp_path))
    node = replace(NODE, roots=roots)
    (request,) = gate("mounts_local").needs(replace(CONTEXT, node=node))
    table = f"/dev/disk3s1 on / (apfs, local)\n/dev/disk9s1 on {folder.parent} (exfat, local)"
    script = f"mount() {{ cat <<'END'\n{table}\nEND\n}}\n{request.probe.script}"
    done = subprocess.run(["/bin/sh"], input=script, capture_output=True, text=True, check=True)
    assert request.probe.parse(ProbeOutput(0, done.stdout)) == {
        "weights": f"exfat {folder.parent}",
        "weights.path": str(folder),
        "cache": "apfs /",
        "cache.path": str(tmp_path / "missing"),
        "logs": "apfs /",
        "logs.path": str(tmp_path),
    }


def test_what_the_playbook_allows_is_allowed():
    assert mounts(weights_at("/Volumes/Fast SSD/m"), refuse=["icloud"])[0] is Outcome.PASS
    assert mounts(weights_at("/Users/ops/nfs/m"), kinds=["apfs", "nfs"])[0] is Outcome.PASS
    assert mounts(weights_at("/Users/ops/Documents/m"), refuse=[])[0] is Outcome.PASS


def test_a_path_that_lies_on_no_known_mount_holds():
    assert mounts(ROOTS, table="")[0] is Outcome.HOLD


def test_a_mount_table_that_could_not_be_read_is_an_error_not_an_empty_one():
    with pytest.raises(ValueError, match="no table"):
        parsed("mounts_local", "", exit_status=1)


@pytest.mark.parametrize("kind", ["mounts_local", "bind_sources"])
def test_a_node_without_roots_is_held(kind):
    context = replace(CONTEXT, node=replace(NODE, roots=None), weights=())
    evidence = {request.name: {} for request in gate(kind).needs(context)}
    assert holds(kind, evidence, context) == ("the inventory declares no roots",)


@pytest.mark.parametrize(
    ("stdout", "reasons"),
    [
        (f"directory {ROOTS.weights}\n1200 {WEIGHTS.path}\n", ()),
        (f"directory {ROOTS.weights}\nmissing {WEIGHTS.path}\n", (f"{WEIGHTS.path} is missing",)),
        (f"directory {ROOTS.weights}\n7 {WEIGHTS.path}\n", (f"{WEIGHTS.path} has 7 bytes, not 1200",)),
        (
            f"directory {ROOTS.weights}\ndirectory {WEIGHTS.path}\n",
            (f"{WEIGHTS.path} has directory bytes, not 1200",),
        ),
        (
            f"missing {ROOTS.weights}\nmissing {WEIGHTS.path}\n",
            (f"bind source {ROOTS.weights} is missing", f"{WEIGHTS.path} is missing"),
        ),
        ("", (f"bind source {ROOTS.weights} is missing", f"{WEIGHTS.path} is missing")),
    ],
)
def test_bind_sources_are_there_and_as_large_as_locked(stdout, reasons):
    outcome, found = judged("bind_sources", parsed("bind_sources", stdout))
    assert found == reasons
    assert outcome is (Outcome.HOLD if reasons else Outcome.PASS)


@pytest.mark.parametrize(
    ("stdout", "outcome"),
    [
        (f"{'ab' * 32}  {WEIGHTS.path}\n", Outcome.PASS),
        (f"{'cd' * 32}  {WEIGHTS.path}\n", Outcome.HOLD),
        ("shasum: a b.gguf: No such file\n", Outcome.HOLD),
        ("", Outcome.HOLD),
    ],
)
def test_weights_are_the_locked_bytes(stdout, outcome):
    assert judged("weights_verified", parsed("weights_verified", stdout))[0] is outcome


def test_weights_that_nothing_locks_are_held():
    context = replace(CONTEXT, weights=())
    assert holds("weights_verified", {"weights.sha256": {}}, context) == ("weights.lock names no file",)


def test_large_weights_get_the_time_hashing_takes():
    large = replace(WEIGHTS, size=40 * 10**9)
    (request,) = gate("weights_verified").needs(replace(CONTEXT, weights=(large,)))
    assert request.probe.limit > 100


# --- images ---------------------------------------------------------------------------------------------

RESOLVED = {"platform": PLATFORM, "manifest": MANIFEST, "config": CONFIG, "index": INDEX}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (RESOLVED, ""),
        ({**RESOLVED, "platform": "linux/amd64"}, f"engine: {REPOSITORY}:b1 is linux/amd64, not linux/arm64"),
        ({**RESOLVED, "config": "sha256:0"}, "has another config than images.lock says"),
        ({"problem": "manifest unknown"}, "engine: manifest unknown"),
        ({}, "was not resolved"),
    ],
)
def test_a_pinned_image_is_what_the_lock_says(found, reason):
    outcome, reasons = judged("images_pinned", {"image.engine": found})
    assert outcome is (Outcome.HOLD if reason else Outcome.PASS)
    assert reason in reasons[0]


def test_images_are_asked_for_by_digest_and_platform():
    (request,) = gate("images_pinned").needs(CONTEXT)
    assert (request.reference, request.platform) == (f"{REPOSITORY}@{MANIFEST}", PLATFORM)


def test_a_lock_without_an_image_for_the_platform_holds():
    assert holds("images_pinned", {}, replace(CONTEXT, images={})) == (
        f"images.lock has no image for {PLATFORM}",
    )


@pytest.mark.parametrize(
    ("lines", "reasons"),
    [
        ([f"image {REPOSITORY} {MANIFEST} {PLATFORM}"], 0),  # a containerd store: manifest
        ([f"image {REPOSITORY} {INDEX} {PLATFORM}"], 0),  # or index
        ([f"image {REPOSITORY} {CONFIG} {PLATFORM}"], 0),  # a classic store: config
        ([f"image {REPOSITORY} sha256:{'9' * 64} {PLATFORM}"], 1),  # another image of the repository
        ([f"image {REPOSITORY} {MANIFEST} linux/amd64"], 1),
        (
            [f"image {REPOSITORY} {MANIFEST} {PLATFORM}", f"image {REPOSITORY} sha256:9 linux/amd64"],
            1,
        ),  # nothing foreign may lie beside it
        (["image registry.example/other " + MANIFEST + " " + PLATFORM], 1),
        ([], 1),
    ],
)
def test_the_pinned_image_lies_on_the_node_and_nothing_foreign_beside_it(lines, reasons):
    evidence = parsed("images_native", "\n".join([f"engine {PLATFORM}", *lines]))
    outcome, found = judged("images_native", evidence)
    assert outcome is (Outcome.HOLD if reasons else Outcome.PASS)
    assert not reasons or len(found) == reasons


def test_emulators_of_the_vm_are_named_and_alone_hold_nothing():
    lines = [f"engine {PLATFORM}", f"image {REPOSITORY} {MANIFEST} {PLATFORM}", "emulator qemu-x86_64"]
    assert judged("images_native", parsed("images_native", "\n".join([*lines, "emulator rosetta"]))) == (
        Outcome.PASS,
        (f"1 images proven on the engine ({PLATFORM})", "its VM would run other platforms by qemu-x86_64 rosetta"),
    )  # fmt: skip


def test_an_engine_of_a_foreign_platform_holds():
    evidence = parsed("images_native", f"engine linux/amd64\nimage {REPOSITORY} {MANIFEST} {PLATFORM}")
    assert holds("images_native", evidence) == ("the engine is linux/amd64, the inventory says linux/arm64",)


def test_an_engine_that_does_not_answer_is_an_error_not_an_absent_image():
    with pytest.raises(ValueError, match="did not answer"):
        parsed("images_native", "", exit_status=1)


# --- endpoints and measurements --------------------------------------------------------------------------


def endpoint(*problems, arm="bare"):
    routes = (RouteCheck("/v1/models", False, 200), RouteCheck("/v1/chat/completions", True, 200, problems))
    return {f"endpoint.{arm}": EndpointReport(arm, "http://127.0.0.1:8081", routes).document()}


def test_routes_that_keep_the_promise_pass():
    assert judged("routes_answer", endpoint()) == (Outcome.PASS, ("bare: http://127.0.0.1:8081",))


def test_every_broken_promise_is_a_reason():
    reasons = holds("routes_answer", endpoint("no usage", "not streamed"))
    assert reasons == (
        "/v1/chat/completions streamed: no usage",
        "/v1/chat/completions streamed: not streamed",
    )


def test_a_report_without_a_single_route_is_no_proof():
    evidence = {"endpoint.bare": EndpointReport("bare", "http://127.0.0.1:8081", ()).document()}
    assert holds("routes_answer", evidence) == ("http://127.0.0.1:8081 gave no report",)


def test_an_arm_the_node_does_not_declare_is_not_applicable_and_not_asked():
    found = gate("routes_answer", arm="bare-cpu")
    assert found.needs(CONTEXT) == ()
    outcome, reasons = judged("routes_answer", endpoint(arm="bare-cpu"), arm="bare-cpu")
    assert (outcome, reasons) == (Outcome.NOT_APPLICABLE, ("the node declares no bare-cpu arm",))


def network(**changes):
    vantages = ("in-container", "node-loopback", "client")
    paths = {
        f"{mode}/{vantage}/keep-alive": {"n": 300, "errors": 0}
        for mode in ("bridge", "host")
        for vantage in vantages
    }
    return {"network": {"mode": "bridge", "why": "host is no better", "paths": {**paths, **changes}}}


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, ()),
        (
            {"host/client/keep-alive": {"n": 0, "problem": "no route"}},
            ("host from client was not measured: no route",),
        ),
        (
            {"bridge/in-container/keep-alive": {}},
            ("bridge from in-container was not measured: no requests",),
        ),
        (
            {"bridge/node-loopback/keep-alive": {"n": 299, "errors": 1}},
            ("bridge from node-loopback: 1 of 299 requests failed",),
        ),
    ],
)
def test_the_network_is_proven_when_every_mode_answered_from_everywhere(changes, reasons):
    outcome, found = judged("network_proven", network(**changes))
    assert outcome is (Outcome.HOLD if reasons else Outcome.PASS)
    assert found == (reasons or ("bridge: host is no better",))


def cells(*rows, short=False):
    return {"loadtest": {"short": short, "cells": [*rows]}}


def cell(arm, name="short×1", ok=9, invalid=()):
    return {"arm": arm, "cell": name, "n": 9, "ok": ok, "invalid": list(invalid)}


@pytest.mark.parametrize(
    ("evidence", "reasons"),
    [
        (cells(cell("bare"), cell("container")), ()),
        (cells(cell("bare")), ("arm container was not measured",)),
        (cells(), ("arm bare was not measured", "arm container was not measured")),
        (
            cells(cell("bare"), cell("container", ok=0)),
            ("container short×1: no request succeeded",),
        ),
        (
            cells(cell("bare", invalid=["the client was saturated"]), cell("container")),
            ("bare short×1 INVALID: the client was saturated",),
        ),
        (
            cells(cell("bare"), cell("bare", "short×4"), cell("container")),
            ("container short×4 was not measured",),
        ),
    ],
)
def test_a_load_test_is_complete_when_every_arm_is_valid_in_every_cell(evidence, reasons):
    outcome, found = judged("loadtest_complete", evidence)
    assert outcome is (Outcome.HOLD if reasons else Outcome.PASS)
    assert not reasons or found == reasons


def test_a_node_without_arms_has_no_complete_load_test():
    context = replace(CONTEXT, node=replace(NODE, arms=()))
    assert holds("loadtest_complete", cells(), context) == ("nothing was measured",)


def test_a_short_run_passes_and_says_that_it_cannot_be_signed():
    _, reasons = judged("loadtest_complete", cells(cell("bare"), cell("container"), short=True))
    assert reasons == ("2 cells, short: passes the gate, cannot be signed",)


def test_where_accelerators_differ_the_gpu_less_bare_arm_is_asked_for_or_told_why_it_is_not_there():
    metal = replace(CONTEXT, node=replace(NODE, variables={"accelerator": "metal"}))
    two = cells(cell("bare"), cell("container"))
    assert holds("loadtest_complete", two, metal) == ("arm bare-cpu was not measured",)
    two["loadtest"]["not_measured"] = {"bare-cpu": "no switch is known"}
    outcome, reasons = judged("loadtest_complete", two, metal)
    assert (outcome, reasons[1]) == (Outcome.PASS, "bare-cpu was not measured: no switch is known")
