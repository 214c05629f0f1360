"""Templates that only fill names in: read without Jinja2, to the same result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.inventory.jinja_template import JinjaTemplates
from macfleet.inventory.render import Renderer
from macfleet.inventory.template import RenderProblem, filled_template

VALUES = {"user": "ops", "port": 8080, "on": True, "none_yet": None, "roots": {"a": [1, "b"]}, "half": 0.5}
PIECES = st.one_of(
    st.sampled_from([f"{{{{ {name} }}}}" for name in VALUES]),
    st.sampled_from(
        ["{{port}}", "{{  user }}", "{{", "}}", "{", "}", "{%", "%}", "{#", "\n", "\r\n", " ", "-"]
    ),
    st.text(alphabet="ab/ .{}'\"\\\n", max_size=5),
)


@given(st.lists(PIECES, min_size=1, max_size=6).map("".join))
def test_a_filled_template_becomes_what_jinja_makes_of_it(text):
    template = filled_template(text)
    if template is not None:
        asked = {name: VALUES[name] for name in template.names}
        assert template.evaluate(asked) == JinjaTemplates().read(text).evaluate(asked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ port }}", 8080),
        ("{{port}}", 8080),
        (" {{ port }}", " 8080"),
        ("/Users/{{ user }}/{{ port }}\n", "/Users/ops/8080\n"),
        ("{{ user }}{{ on }}{{ none_yet }}", "opsTrueNone"),
        ("{{ roots }}", {"a": [1, "b"]}),
        ("{{ roots }}.", "{'a': [1, 'b']}."),
    ],
)
def test_names_alone_are_filled_in(text, expected):
    assert filled_template(text) is not None
    assert Renderer().render(text, VALUES.__getitem__) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ user | upper }}",
        "{{ roots.a }}",
        "{{- user }}",
        "{{ true }}",
        "{{ not }}",
        "{{ self }}",
        "{{ user }} {% if on %}x{% endif %}",
        "{{ user }} {# nobody #}",
        "{{ user }} }}",
        "{{{ user }}",
        "{{ user }}\r\n",
        "{{ größe }}",
        "no names",
    ],
)
def test_everything_else_is_left_to_jinja(text):
    assert filled_template(text) is None


def test_a_name_that_nobody_sets_is_said_in_jinjas_words():
    with pytest.raises(RenderProblem, match="'nobody' is undefined"):
        Renderer().render("/Users/{{ nobody }}", VALUES.__getitem__)
    assert Renderer().render("{{ range }}{{ user }}", VALUES.__getitem__).endswith(">ops")


def test_a_result_may_not_grow_without_end():
    with pytest.raises(RenderProblem, match="longer than"):
        Renderer().render("{{ long }}{{ long }}", {"long": "x" * 40_000}.__getitem__)
