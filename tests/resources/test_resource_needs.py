"""What must be settled before what follows from the paths and names that resources say."""

import pytest
import yaml

from macfleet.documents import Document, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.playbooks import CompileContext, compile_stage, load_stage
from macfleet.resources.link import LinkParams

TASKS = """\
- directory: {path: /o/kinds}
- download: {url: "https://files.example/e.tgz", path: /o/kinds/e.tgz, sha256: "SHA"}
- archive: {to: /o/kinds/e, path: /o/kinds/e.tgz, sha256: "SHA", creates: /o/kinds/e/bin/serve}
- link: {path: /o/kinds/serve, target: e/bin/serve}
- link: {path: /o/other, target: /o/kinds/e/lib}
- line_in_file: {path: /o/kinds/e/conf, line: x}
- block: {path: /o/kinds/e/conf, name: b, block: x}
- homebrew_tap: {name: team/tools}
- brew_formula: {name: team/tools/serve}
- user_default: {domain: /o/kinds/e/prefs, key: k, value: 1}
- launchd_service: {label: a.b, program: [/o/kinds/serve]}
- file: {path: /o/kinds/old, state: absent}
"""


class Texts:
    """A fleet folder of one playbook."""

    def __init__(self, tasks):
        self.text = yaml.safe_dump([{"name": "A", "stage": "layout", "hosts": "all", "tasks": tasks}])

    def read(self, _path):
        return self.text.encode()

    def exists(self, path):
        return path == "playbooks/p.yml"

    def list(self, _folder):
        return ()


def test_needs_follow_from_paths_and_names():
    tasks = yaml.safe_load(TASKS.replace("SHA", "0" * 64))
    stage = load_stage(Texts(tasks), "playbooks/p.yml")
    node = Node("mac-01", Endpoint("mac-01.example"))
    compiled = compile_stage(stage, node, CompileContext()).resources
    needs = {resource.address: set(resource.needs) for resource in compiled}
    unpacked, folder = "archive./o/kinds/e", "directory./o/kinds"
    assert needs == {
        folder: set(),
        "download./o/kinds/e.tgz": {folder},
        unpacked: {folder, "download./o/kinds/e.tgz"},
        "link./o/kinds/serve": {folder, unpacked},
        "link./o/other": {unpacked},
        "line_in_file./o/kinds/e/conf:x": {unpacked},
        "block./o/kinds/e/conf:b": {unpacked},
        "homebrew_tap.team/tools": set(),
        "brew_formula.team/tools/serve": {"homebrew_tap.team/tools"},
        "user_default./o/kinds/e/prefs:k": {unpacked},
        "launchd_service.a.b": {folder, "link./o/kinds/serve"},
        "file./o/kinds/old": {folder},
    }


@pytest.mark.parametrize("other", ["link: {path: /a, target: b}", "directory: {path: /a, state: absent}"])
def test_two_resources_cannot_decide_what_stands_at_one_path(other):
    tasks = yaml.safe_load(f"- file: {{path: /a, content: x}}\n- {other}\n")
    stage = load_stage(Texts(tasks), "playbooks/p.yml")
    with pytest.raises(MacfleetError) as refused:
        compile_stage(stage, Node("mac-01", Endpoint("mac-01.example")), CompileContext())
    (found,) = refused.value.diagnostics
    assert found.code == "E0520"
    assert "file./a at playbooks/p.yml:" in found.why


@pytest.mark.parametrize("target", ["~", "~/models", "~ops/models"])
def test_a_link_is_not_led_to_a_folder_that_is_called_like_a_home(target):
    said = Document({"path": "/o/link", "target": target}, "case")
    with pytest.raises(MacfleetError, match="write the absolute path"):
        validate(said, LinkParams, kind="link")
