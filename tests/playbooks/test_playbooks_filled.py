"""Playbook texts that only fill names in: read without Jinja2, to the same result and the same words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.documents import parse_yaml
from macfleet.model.diagnostic import MacfleetError
from macfleet.playbooks.filled import filled_text
from macfleet.playbooks.play import Variable
from macfleet.playbooks.render import Renderer
from macfleet.playbooks.sandbox import Sandbox
from macfleet.playbooks.scope import Scope

VALUES = {
    "user": "it's ops",
    "port": 8080,
    "on": True,
    "unset": None,
    "items": [1, "b"],
    "node": {"roots": {"cache": "/a b", "items": 3}, "half": 0.5, "if": "word"},
}
NAMES = [
    *VALUES,
    "node.roots.cache",
    "node.roots.items",
    "node.half",
    "node.if",
    "node.roots.keys",
    "port.real",
]
PLACES = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from([f"{{{{ {name} }}}}", f"{{{{{name}}}}}", f"{{{{  {name} }}}}"])
)
PIECES = st.one_of(
    PLACES,
    st.sampled_from(
        ["{{", "}}", "{", "}", "{%", "%}", "{#", "#}", "\n", "\r\n", " ", "-", "#", "{{ nobody }}"]
    ),
    st.text(alphabet="ab/ .{}\\\n$", max_size=5),
)
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join)
DOCUMENT = parse_yaml(b"text: x", "playbook.yml")


def scope_of(renderer):
    return Scope(renderer, [{name: Variable(value) for name, value in VALUES.items()}])


def outcome(render):
    """What a text becomes, or what is said against it."""
    try:
        return render()
    except MacfleetError as error:
        return [(found.code, found.summary, found.mend) for found in error.diagnostics]


@given(TEXTS)
def test_a_text_becomes_what_jinja_makes_of_it(text):
    renderer = Renderer({})
    scope = scope_of(renderer)
    if any(mark in text for mark in ("{{", "{%", "{#")):
        inner = text.strip()[2:-2]
        alone = text.strip() == f"{{{{{inner}}}}}" and not any(mark in inner for mark in ("{{", "}}", "{%"))
        jinja = Sandbox({}).value if alone else Sandbox({}).text
        expected = outcome(lambda: jinja(inner if alone else text, scope, DOCUMENT, ("text",)))
    else:
        expected = text
    assert outcome(lambda: renderer.value(text, scope, DOCUMENT, "text")) == expected


@given(TEXTS)
def test_shell_text_becomes_what_jinja_makes_of_it(text):
    renderer = Renderer({})
    scope = scope_of(renderer)
    expected = outcome(lambda: Sandbox({}).text(text, scope, DOCUMENT, ("text",), for_shell=True))
    assert outcome(lambda: renderer.shell(text, scope, DOCUMENT, "text")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ port }}", 8080),
        (" {{ node.roots }}\n", {"cache": "/a b", "items": 3}),
        ("{{ node.roots.cache }}/x\n", "/a b/x\n"),
        ("{{ user }}{{ on }}{{ unset }}{{ items }}", "it's opsTrueNone[1, 'b']"),
        ("no names", "no names"),
    ],
)
def test_names_alone_are_filled_in(text, expected):
    assert filled_text(text) is not None
    renderer = Renderer({})
    assert renderer.value(text, scope_of(renderer), DOCUMENT, "text") == expected


def test_a_value_in_shell_text_is_one_quoted_word():
    renderer = Renderer({})
    text = "echo {{ user }} {{ items }} $HOME"
    assert filled_text(text) is not None
    shown = renderer.shell(text, scope_of(renderer), DOCUMENT, "text")
    assert shown == """echo 'it'"'"'s ops' 1 b $HOME"""


@pytest.mark.parametrize(
    "text",
    [
        "{{ user | upper }}",
        "{{ items[0] }}",
        "{{ items.0 }}",
        "{{- user }}",
        "{{ true }}",
        "{{ range }}",
        "{{ user }} {% if on %}x{% endif %}",
        "{{ user }} {# nobody #}",
        "{{{ user }}",
        "{{ user }}\r\n",
        "{{ größe }}",
    ],
)
def test_everything_else_is_left_to_jinja(text):
    assert filled_text(text) is None


def test_a_name_that_nobody_sets_is_said_in_jinjas_words():
    renderer = Renderer({})
    said = outcome(lambda: renderer.value("/Users/{{ usr }}", scope_of(renderer), DOCUMENT, "text"))
    assert said == [("E0310", "'usr' is undefined", 'did you mean "user"?')]
