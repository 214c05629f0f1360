"""What people bring from Ansible is refused with what says the same here."""

import re

import pytest
from fleet_texts import findings, stage

from macfleet.playbooks.ansible_words import NAMES, PLAY, TASK
from macfleet.playbooks.grammar import PlayBorder, TaskBorder
from macfleet.resources import KINDS


@pytest.mark.parametrize("word", sorted(set(TASK) - {kind.kind for kind in KINDS}))
def test_a_word_in_a_task_is_answered(word):
    ((code, where, summary, mend),) = findings(stage(f"- {word}: x"))
    assert (code, where, mend) == ("E0304", "playbooks/stage.yml:5", TASK[word])
    assert f'"{word}"' in summary
    ((code, where, _, mend),) = findings(stage(f"- directory: {{path: /a}}\n  {word}: x"))
    assert (code, where, mend) == ("E0304", "playbooks/stage.yml:6", TASK[word])


@pytest.mark.parametrize("word", sorted(PLAY))
def test_a_word_in_a_play_is_answered(word):
    ((code, where, _, mend),) = findings(stage(head=f"  {word}: 1\n"))
    assert (code, where, mend) == ("E0301", "playbooks/stage.yml:4", PLAY[word])


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_in_an_expression_is_answered(name):
    ((code, where, summary, mend),) = findings(stage(f"- directory: {{path: /a}}\n  when: {name} == 1"))
    assert (code, where, summary) == ("E0310", "playbooks/stage.yml:6", f"'{name}' is undefined")
    assert mend == NAMES[name]


def test_a_modules_collection_does_not_matter():
    ((_, _, _, mend),) = findings(stage("- ansible.builtin.copy: {dest: /a}"))
    assert mend == TASK["copy"]


def test_the_kinds_that_are_named_exist_and_no_word_is_one_of_ours():
    kinds = {kind.kind for kind in KINDS}
    named = {name for said in TASK.values() for name in re.findall(r"The resource is (\w+):", said)}
    assert named <= kinds
    assert not set(PLAY) & set(PlayBorder.model_fields)
    assert not set(TASK) & set(TaskBorder.model_fields)
