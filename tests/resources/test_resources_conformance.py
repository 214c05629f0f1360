"""Every resource kind against recorded outputs: blank, converged, perturbed, unreadable."""

import functools
import re
import shutil
import string
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from macfleet.documents import Document, validate
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action, ProbeOutput, Put, Run
from macfleet.resources import KINDS, Surroundings

CASES = Path(__file__).parent.parent / "cases" / "resources"
IMAGE = ResolvedImage(
    reference="registry.example/llama-server:b10434",
    repository="registry.example/llama-server",
    index=f"sha256:{'1' * 64}",
    manifest=f"sha256:{'2' * 64}",
    config=f"sha256:{'3' * 64}",
    platform="linux/arm64",
    layers=(),
)
PARAMS = {kind.kind: kind for kind in KINDS}


@dataclass
class Case:
    kind: str
    name: str
    recorded: dict
    document: dict = field(repr=False)

    def resource(self):
        params = {**self.document["params"], **({"content": "-"} if self.kind == "file" else {})}
        checked = validate(Document(params, "case"), PARAMS[self.kind], kind=self.kind)
        files = {path: text.encode() for path, text in self.document.get("files", {}).items()}
        node = Node("mac-01", Endpoint("mac-01.example"))
        return checked.build(Surroundings(node, images={"engine": IMAGE}, files=files, task="a task"))

    def output(self):
        template = self.recorded.get("stdout")
        values = {**self.document.get("values", {}), **self.recorded.get("values", {})}
        text = (
            template
            if template is not None
            else self.document["template"] % {k: shown(v) for k, v in values.items()}
        )
        resource = self.resource()
        known = {
            **resource.desired(),
            "manifest": IMAGE.manifest,
            "config": IMAGE.config,
            "index": IMAGE.index,
        }
        stdout = string.Template(text).safe_substitute(known)
        return ProbeOutput(self.recorded.get("exit", 0), stdout, self.recorded.get("stderr", ""))

    def change(self):
        resource = self.resource()
        return resource.change(resource.probe().parse(self.output()))


def shown(value):
    return (
        {True: "true", False: "false", None: "null"}.get(value, value)
        if not isinstance(value, int) or isinstance(value, bool)
        else value
    )


@functools.cache
def documents():
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(CASES.glob("*.yml"))}


def cases(section):
    found = []
    for kind, document in documents().items():
        rows = document[section] if section in {"perturbed", "unreadable"} else {section: document[section]}
        found += [
            pytest.param(Case(kind, name, row, document), id=f"{kind}: {name}") for name, row in rows.items()
        ]
    return found


def check_steps(case, change):
    steps = case.resource().steps(change)
    text = "\n".join(step.script for step in steps if isinstance(step, Run))
    puts = [step.path for step in steps if isinstance(step, Put)]
    assert all(words in text for words in case.recorded.get("script", ())), text
    assert not any(words in text for words in case.recorded.get("without", ())), text
    assert puts == ([case.recorded["put"]] if "put" in case.recorded else puts)


def test_every_kind_has_recorded_cases():
    assert set(documents()) == set(PARAMS)


@pytest.mark.parametrize("case", cases("blank"))
def test_on_a_blank_node_everything_is_created(case):
    change = case.change()
    assert change.action == case.recorded.get("action", "create")
    assert bool(change.blocked) == ("blocked" in case.recorded)
    assert change.address.startswith(f"{case.kind}.")
    if not change.blocked:
        assert case.resource().steps(change)
        check_steps(case, change)


@pytest.mark.parametrize("case", cases("converged"))
def test_a_converged_node_needs_nothing(case):
    change = case.change()
    assert (change.action, change.fields) == (Action.NOOP, ())
    assert case.resource().steps(change) == ()


@pytest.mark.parametrize("case", cases("perturbed"))
def test_a_perturbed_field_gives_exactly_that_difference(case):
    change = case.change()
    assert change.action == case.recorded["action"]
    if "fields" in case.recorded:
        assert [each.field for each in change.fields] == case.recorded["fields"]
    assert case.recorded.get("reason", "") in change.reason
    assert case.recorded.get("blocked", "") in change.blocked
    assert bool(change.blocked) == ("blocked" in case.recorded)
    if not change.blocked:
        check_steps(case, change)


@pytest.mark.parametrize("case", cases("unreadable"))
def test_an_answer_that_is_not_understood_is_never_taken_for_absent(case):
    with pytest.raises(ValueError):
        case.resource().probe().parse(case.output())


@pytest.mark.parametrize("shell", ["dash", "zsh"])
@pytest.mark.parametrize("case", [*cases("blank"), *cases("perturbed")])
def test_probe_and_step_scripts_are_plain_posix(case, shell):
    resource = case.resource()
    steps = resource.steps(case.change())
    scripts = [resource.probe().script, *(step.script for step in steps if not isinstance(step, Put))]
    for script in scripts:
        done = subprocess.run(
            [shutil.which(shell), "-n"], input=script, text=True, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), script


GNU_ONLY = [
    "timeout ",
    "flock ",
    "sha256sum",
    "stat -c",
    "readlink -f",
    "base64 -w",
    "sed -i",
    "xargs -r",
    "mktemp --",
]


@pytest.mark.parametrize("case", [*cases("blank"), *cases("perturbed")])
def test_scripts_use_nothing_a_stock_mac_lacks(case):
    resource = case.resource()
    steps = [step for step in resource.steps(case.change()) if not isinstance(step, Put)]
    text = "\n".join([resource.probe().script, *(step.script for step in steps)])
    assert not [word for word in GNU_ONLY if word in re.sub(r"--[a-z-]*timeout ", "", text)]
