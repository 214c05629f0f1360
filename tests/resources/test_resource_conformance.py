"""Every resource kind on a Mac that is a folder: what it promises is done by real shells, not recorded.

One file a kind in ``tests/cases/conformance``; a kind without one fails. `HOME` in it is the login's home.

- ``params``: the resource; ``also``: further tasks it needs, such as the file a project reads.
- ``prepare``: shell text that makes a blank Mac ready for it.
- ``blank``: what the plan is on a blank Mac where that is not create: a Mac always has power settings.
- ``perturbed``: by name, shell text in ``by`` that changes the Mac behind macfleet, and the ``fields`` that
  must differ then, no more and no fewer. ``action`` unless it is update; ``blocked`` words where macfleet
  must refuse.
- ``unperturbed``: fields of the desired state that no hand can change alone, each with the reason.
- ``absent: true``: the same params with ``state: absent`` leave the Mac as it was before the resource, apart
  from the paths in ``left`` (below `ROOT`). So do the params that name it alone: those of ``named``, or
  those that every task of the kind must give.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from scratch_mac import ScratchMac

from macfleet.engine.plan import dependency_levels
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action
from macfleet.playbooks import CompileContext, compile_stage, load_stage
from macfleet.resources import KINDS, params_of

pytestmark = pytest.mark.slow  # thousands of real shells

CASES = Path(__file__).parent.parent / "cases" / "conformance"
SHELLS = {
    "dash": ("/usr/bin/dash",),
    "bash as sh": ("/bin/bash", "--posix"),
    "zsh as sh": ("/usr/bin/zsh", "--emulate", "sh"),
}
IMAGE = ResolvedImage(
    reference="registry.example/llama-server:b10434",
    repository="registry.example/llama-server",
    index=f"sha256:{'1' * 64}",
    manifest=f"sha256:{'2' * 64}",
    config=f"sha256:{'3' * 64}",
    platform="linux/arm64",
    layers=(),
)


class Texts:
    """A fleet folder of one playbook and of files beside it."""

    def __init__(self, files):
        self.files = files

    def read(self, path):
        return self.files[path]

    def exists(self, path):
        return path in self.files

    def list(self, folder):
        return tuple(sorted(path for path in self.files if path.startswith(f"{folder}/")))


@dataclass
class Case:
    """One kind's file, its words about the home put in place."""

    kind: str
    mac: ScratchMac

    def __post_init__(self):
        text = (CASES / f"{self.kind}.yml").read_text()
        for name, folder in {"HOME": self.mac.home, "ROOT": self.mac.root}.items():
            text = re.sub(rf"(?<![$\w])\b{name}\b", str(folder), text)
        self.document = yaml.safe_load(text)

    def stage(self, only=None, **params):
        """Compile the tasks as a playbook; return all resources in order, and the kind's own."""
        said = {
            name: value for name, value in self.document["params"].items() if only is None or name in only
        }
        task = {self.kind: {**said, **params}, "name": "the task"}
        tasks = [*self.document.get("also", ()), task]
        play = [{"name": "A play", "stage": "layout", "hosts": "all", "tasks": tasks}]
        stage = load_stage(Texts({"playbooks/p.yml": yaml.safe_dump(play).encode()}), "playbooks/p.yml")
        node = Node("mac-01", Endpoint("mac-01.example"))
        compiled = compile_stage(stage, node, CompileContext({"engine": IMAGE})).resources
        by_address = {each.address: each for each in compiled}
        ordered = [by_address[address] for level in dependency_levels(compiled) for address in level]
        return ordered, compiled[-1]

    def prepare(self):
        if "prepare" in self.document:
            assert self.mac.run(self.document["prepare"]).exit == 0

    def converge(self, resources):
        """Bring every resource into its state; return the actions taken."""
        taken = []
        for each in resources:
            change = self.mac.planned(each)
            self.mac.carry_out(each, change)
            taken.append(change.action)
        return taken

    def named(self):
        """The params that say which one is meant."""
        fields = params_of(self.kind).model_fields
        return self.document.get("named", [name for name, field in fields.items() if field.is_required()])

    def perturbed(self):
        return self.document.get("perturbed", {})


@pytest.fixture
def mac(tmp_path):
    return ScratchMac(tmp_path / "mac")


def kinds():
    return sorted(path.stem for path in CASES.glob("*.yml"))


def perturbations():
    documents = {kind: yaml.safe_load((CASES / f"{kind}.yml").read_text()) for kind in kinds()}
    return [
        pytest.param(kind, name, id=f"{kind}: {name}")
        for kind, document in documents.items()
        for name in document.get("perturbed", {})
    ]


def test_every_kind_is_held_to_its_promises():
    assert kinds() == sorted(kind.kind for kind in KINDS)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", kinds())
def test_a_blank_mac_converges_once_and_then_nothing_is_left(kind, shell, tmp_path):
    assert shutil.which(SHELLS[shell][0])
    case = Case(kind, ScratchMac(tmp_path / "mac", SHELLS[shell]))
    case.prepare()
    resources, resource = case.stage()
    before = case.mac.snapshot()
    planned = case.mac.planned(resource)
    assert case.mac.snapshot() == before
    assert (str(planned.action), planned.blocked) == (case.document.get("blank", "create"), "")
    case.converge(resources)
    after = case.mac.snapshot()
    assert case.converge(resources) == [Action.NOOP] * len(resources)
    assert case.mac.snapshot() == after


@pytest.mark.parametrize(("kind", "name"), perturbations())
def test_what_a_hand_changed_is_the_whole_difference_and_is_mended(kind, name, mac):
    case = Case(kind, mac)
    case.prepare()
    resources, resource = case.stage()
    case.converge(resources)
    perturbed = case.perturbed()[name]
    done = mac.run(perturbed["by"])
    assert done.exit == 0, done.stderr
    before = mac.snapshot()
    change = mac.planned(resource)
    assert mac.snapshot() == before
    assert str(change.action) == perturbed.get("action", "update")
    if change.action is not Action.CREATE:
        assert [each.field for each in change.fields] == perturbed["fields"]
    assert bool(change.blocked) == ("blocked" in perturbed)
    assert perturbed.get("blocked", "") in change.blocked
    if not change.blocked:
        case.converge(resources)
        assert case.converge(resources) == [Action.NOOP] * len(resources)


@pytest.mark.parametrize("kind", kinds())
def test_every_field_of_the_desired_state_is_perturbed(kind, mac):
    case = Case(kind, mac)
    _, resource = case.stage()
    moved = {
        field
        for each in case.perturbed().values()
        if each.get("action") != "create"
        for field in each["fields"]
    }
    assert moved | set(case.document.get("unperturbed", {})) == set(resource.desired())


def removable():
    return [kind for kind in kinds() if "absent: true" in (CASES / f"{kind}.yml").read_text().splitlines()]


def without_times(snapshot, left):
    # The scratch Mac notes owners by inode; the note of a removed file says nothing.
    kept = {path: seen for path, seen in snapshot.items() if not path.startswith("owners")}
    return {path: (mode, held) for path, (mode, _, held) in kept.items() if path not in left}


@pytest.mark.parametrize("named", [False, True], ids=["said in full", "named alone"])
@pytest.mark.parametrize("kind", removable())
def test_what_is_to_be_absent_goes_without_a_trace_and_only_once(kind, named, mac):
    case = Case(kind, mac)
    case.prepare()
    resources, _ = case.stage()
    case.converge(resources[:-1])
    before = mac.snapshot()
    case.converge(resources)
    _, gone = case.stage(only=case.named() if named else None, state="absent")
    change = mac.planned(gone)
    assert change.action is Action.DELETE
    mac.carry_out(gone, change)
    after = mac.snapshot()
    assert mac.planned(gone).action is Action.NOOP
    assert mac.snapshot() == after
    left = case.document.get("left", ())
    assert without_times(after, left) == without_times(before, left)


def test_kinds_that_take_absent_are_held_to_it():
    assert set(removable()) == {kind.kind for kind in KINDS if "state" in kind.model_fields}
