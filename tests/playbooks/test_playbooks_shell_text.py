import shlex
import subprocess

import pytest
from fleet_texts import compiled, stage
from hypothesis import given, settings
from hypothesis import strategies as st

from macfleet.playbooks.shell_text import quotes_an_expression


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("echo {{ x }}", False),
        ("echo '{{ x }}'", True),
        ('echo "a {{ x }}"', True),
        ('echo "a" {{ x }} "b"', False),
        ("echo it\\'s {{ x }}", False),
        ("echo 'a\\' {{ x }}", False),
        ("# it's a comment\necho {{ x }}", False),
        ("echo a#'b {{ x }}'", True),
        ("{% if a == 'b' %}echo {{ x }}{% endif %}", False),
        ("{# it's nothing #}echo {{ x }}", False),
        ("echo {{ x['k'] }} {{ y }}", False),
        ('echo "it\'s {{ x }}"', True),
    ],
)
def test_an_expression_inside_quotes_is_found(text, inside):
    assert quotes_an_expression(text) is inside


@settings(deadline=None, max_examples=40)
@given(value=st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=20))
def test_a_rendered_value_is_one_word_of_the_shell_whatever_it_holds(value):
    play = stage("- command: {id: c, run: 'printf %s {{ text }}', creates: /a}")
    from dataclasses import replace

    from fleet_texts import NODE

    node = replace(NODE, variables={"text": value})
    (resource,) = compiled(play, node).resources
    assert shlex.split(resource.script) == ["printf", "%s", value]
    done = subprocess.run(["dash", "-c", resource.script], capture_output=True, check=True)
    assert done.stdout == value.encode()
