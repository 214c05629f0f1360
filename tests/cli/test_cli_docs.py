"""`docs`: every kind, each with an example that is accepted as it is printed."""

import json

import pytest
import yaml

from macfleet.cli.kinds import FILE, FILES, GATE, RESOURCE, known, page
from macfleet.documents import parse_yaml, validate
from macfleet.gates import KINDS as GATES
from macfleet.gates import build_gate
from macfleet.gates.scan_policy import ScanModel
from macfleet.model.stage import GateSpec
from macfleet.resources import KINDS as RESOURCES
from macfleet.views.annotated import lines

OPTIONAL = {"promotion", "scan"}  # `init` makes no file of these: without one nothing is asked


def printed(name):
    return "\n".join(lines(page(name)))


def test_every_resource_gate_and_file_is_listed(run):
    code, out, _ = run("docs")
    assert code == 0
    names = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert names >= {kind.kind for kind in RESOURCES} | set(GATES) | set(FILES)
    _, out, _ = run("docs", "--output", "json")
    document = json.loads(out)
    assert (document["kind"], {each["name"] for each in document["kinds"]}) == ("docs-list", set(known()))


@pytest.mark.parametrize("name", sorted(name for name, (group, _) in known().items() if group == RESOURCE))
def test_a_resource_kinds_page_is_a_task_list_with_every_parameter_named(name):
    text = printed(name)
    tasks = yaml.safe_load(text)
    assert any(name in task for task in tasks)
    kind = next(kind for kind in RESOURCES if kind.kind == name)
    assert not [key for key in kind.model_fields if f"#   {key} " not in text]


@pytest.mark.parametrize("name", sorted(name for name, (group, _) in known().items() if group == GATE))
def test_a_gates_page_is_a_line_of_a_playbook(name):
    ((kind, params),) = (next(iter(each.items())) for each in yaml.safe_load(printed(name))["gates"])
    assert build_gate(GateSpec(kind, params or {}))


@pytest.mark.parametrize(
    "name", sorted(name for name, (group, _) in known().items() if group == FILE and name not in OPTIONAL)
)
def test_a_files_page_is_the_file_that_init_makes(name, made):
    file = FILES[name]
    example = page(name).example
    shown = made / (file.shown or file.path)
    if name != "settings":
        assert example == shown.read_text()
    assert yaml.safe_load(printed(name)) == yaml.safe_load(example)


def test_the_page_of_scan_yml_is_one_that_is_read():
    document = parse_yaml(page("scan").example.encode(), "scan.yml")
    assert validate(document, ScanModel).exceptions[0].images == ("engine",)


def test_an_unknown_kind_is_refused_with_the_nearest(run):
    code, out, err = run("docs", "compos_project")
    assert (code, out) == (2, "")
    assert 'did you mean "compose_project"?' in err
    assert "macfleet docs" in run("docs", "zzzz")[2]


def test_no_line_of_comment_is_wider_than_it_should_be():
    wide = [line for name in known() for line in lines(page(name)) if line.startswith("#   ")]
    assert wide
    assert max(map(len, wide)) <= 120


def test_a_page_as_json_has_its_keys_and_example(run):
    _, out, _ = run("docs", "file", "--output", "json")
    document = json.loads(out)
    assert (document["schema"], document["kind"], document["name"]) == (1, "docs", "file")
    assert {"key": "path", "under": ""}.items() <= document["keys"][0].items()
    assert "file:" in document["example"]
