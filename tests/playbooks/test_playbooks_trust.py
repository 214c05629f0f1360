"""An image that is not trusted is compiled only for nodes that are labelled for it."""

from dataclasses import replace

import pytest
from fleet_texts import IMAGE, NODE, TextFiles, stage

from macfleet.gates.trust import Trust
from macfleet.model.diagnostic import Location, MacfleetError
from macfleet.playbooks import CompileContext, compile_stage, load_stage

COMPOSE = "services: {engine: {image: '%s', platform: linux/arm64}}"
TASKS = """
- file: {path: /a/c.yaml, content: "%s"}
- compose_project: {name: chat, file: /a/c.yaml}
"""
UNTRUSTED = Trust("untrusted", Location("images.yml", 3, 5))


def compiled(texts, trust, label):
    node = replace(NODE, trust=label)
    playbook = load_stage(TextFiles(texts), "playbooks/stage.yml")
    return compile_stage(playbook, node, CompileContext({"engine": IMAGE}, trust=trust))


@pytest.mark.parametrize(
    ("tasks", "line"),
    [
        ("- docker_image: {image: engine}", 5),
        (TASKS % (COMPOSE % IMAGE.pinned), 6),
        (TASKS % (COMPOSE % "{{ images.engine.run }}"), 6),
    ],
)
def test_a_node_without_the_label_is_refused_at_the_line_that_names_the_image(tasks, line):
    texts = stage(tasks)
    with pytest.raises(MacfleetError) as caught:
        compiled(texts, {"engine": UNTRUSTED}, "trusted")
    (found,) = caught.value.diagnostics
    assert (found.code, found.where.file, found.where.line) == ("E0740", "playbooks/stage.yml", line)
    assert "image engine is untrusted (images.yml:3:5)" in found.summary
    assert found.node == "mac-01"
    assert compiled(texts, {"engine": UNTRUSTED}, "untrusted").resources
    assert compiled(texts, {}, "trusted").resources


def test_an_image_that_no_task_uses_is_placed_nowhere():
    assert compiled(stage("- directory: {path: /a}"), {"engine": UNTRUSTED}, "trusted").resources
