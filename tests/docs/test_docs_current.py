"""The pages say what the code does: generated ones are current, and what the others show can be typed."""

import importlib.util
import re
import shlex
import sys
import tomllib
from itertools import chain
from pathlib import Path

import click
import pytest

from macfleet.cli.fleet import FleetContext
from macfleet.cli.lock_files import weights_lock
from macfleet.cli.main import cli
from macfleet.contract.images import load_images
from macfleet.gates import KINDS as GATES
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import Blob, ResolvedImage
from macfleet.model.node import Arm, Endpoint, Node, Roots, VmSize
from macfleet.playbooks import CompileContext, compile_stage, filters, grammar, load_stage
from macfleet.playbooks.node_view import node_view

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "CONTRIBUTING.md"]
IMAGE = ResolvedImage(
    reference="registry.example/llama-server:b10434",
    repository="registry.example/llama-server",
    index=f"sha256:{'1' * 64}",
    manifest=f"sha256:{'2' * 64}",
    config=f"sha256:{'3' * 64}",
    platform="linux/arm64",
    layers=(Blob(f"sha256:{'4' * 64}", 10),),
)
NODE = Node(
    name="mac-01",
    endpoint=Endpoint("mac-01.example", user="ops"),
    arms=(Arm.BARE, Arm.CONTAINER),
    roots=Roots("/Users/ops/models", "/Users/ops/hf", "/Users/ops/logs"),
    colima=VmSize(6, 12 * 2**30, 100 * 2**30),
    variables={
        "macfleet_home": "/Users/ops/macfleet",
        "compose_file": "/Users/ops/macfleet/compose.yaml",
        "engine_port": 8080,
        "sleep_minutes": 0,
        "releases": "https://files.example/releases",
    },
)
CONTEXT = CompileContext({"engine": IMAGE}, {"contract": {"name": "chat-small", "engine_slots": 4}})
EXAMPLES = sorted((DOCS / "examples").glob("*.yml"))


def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(DOCS))  # as Python does for a script that is run
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


GENERATE = generator()
LEAVES = list(GENERATE.leaf_commands())


class Texts:
    """A fleet folder of strings."""

    def __init__(self, texts):
        self.texts = texts

    def read(self, path):
        if path not in self.texts:
            raise FileNotFoundError(path)
        return self.texts[path].encode()

    def exists(self, path):
        return path in self.texts

    def list(self, folder):
        return tuple(sorted(path for path in self.texts if path.startswith(f"{folder}/")))


def name_of(path):
    return str(path.relative_to(ROOT))


def parse_command(line):
    """Parse a command line as macfleet would, running nothing."""
    words = shlex.split(line, comments=True)
    context = click.Context(cli, info_name="macfleet")
    command, words = cli, words[1:]
    while isinstance(command, click.Group):
        if words and words[0] in ("--debug", "--version", "--help"):
            words = words[1:]
            if not words:
                return
            continue
        found = command.get_command(context, words[0]) if words else None
        assert found is not None, f"no such command: {line}"
        command, words = found, words[1:]
    if "--help" not in words:
        command.make_context(command.name, list(words))


def shown_commands(text):
    """Yield the commands in `sh` blocks and in inline code."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                if part.strip().startswith("macfleet "):
                    yield part.strip()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from re.findall(r"(?<!\[)`(macfleet [^`\[\n]+)`", prose)


@pytest.mark.parametrize("name", sorted(GENERATE.pages()))
def test_a_generated_page_is_what_the_code_says_now(name):
    current = (DOCS / name).read_text(encoding="utf-8")
    assert current == GENERATE.pages()[name], f"docs/{name} drifted: type `make docs`"


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_a_command_has_help_and_an_example_that_can_be_typed(path, command):
    described, examples = GENERATE.help_of(command)
    assert described
    assert any(example.startswith(f"macfleet {' '.join(path)}") for example in examples)
    for example in examples:
        for part in example.split(" && "):
            if part.startswith("macfleet "):
                parse_command(part)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_that_a_page_shows_can_be_typed(page):
    for line in shown_commands(page.read_text(encoding="utf-8")):
        try:
            parse_command(line)
        except click.ClickException as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_leads_to_a_page_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^a-z0-9 _-]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in anchors, f"{target} names no heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_download_address_or_a_real_registry(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"https?://(?!127\.0\.0\.1)[^\s)`]+", text)
    assert not re.findall(r"\b(?:docker|ghcr|quay)\.io\b", text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_of_a_resource_kind_compiles(path):
    tasks = "".join(f"    {line}\n" for line in path.read_text(encoding="utf-8").splitlines())
    play = f"- name: An example\n  stage: layout\n  hosts: serving\n  tasks:\n{tasks}"
    stage = load_stage(Texts({"playbooks/example.yml": play}), "playbooks/example.yml")
    compiled = compile_stage(stage, NODE, CONTEXT)
    assert path.stem in {resource.kind for resource in compiled.resources}


def files_shown(page):
    """The files that a page shows; the first line of a block names its file."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:yaml|jinja)\n# (\S+?)(?::.*)?\n(.*?)```", text, re.DOTALL)
    return dict(blocks)


def test_the_playbook_of_the_page_compiles_to_the_addresses_it_lists():
    files = files_shown("reference/playbook.md")
    stage = load_stage(Texts(files), "playbooks/stage3-layout.yml")
    compiled = compile_stage(stage, NODE, CONTEXT)
    text = (DOCS / "reference" / "playbook.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\d+\. `([^`]+)`", text, re.MULTILINE)
    assert [resource.address for resource in compiled.resources] == listed


def test_the_page_of_the_playbook_names_every_key_filter_and_name():
    text = (DOCS / "reference" / "playbook.md").read_text(encoding="utf-8")
    models = (grammar.PlayBorder, grammar.StrategyBorder, grammar.TaskBorder, grammar.RoleMetaBorder)
    words = {key for model in models for key in model.model_fields}
    words |= set(filters.FILTERS) | set(node_view(NODE, {})) | set(node_view(NODE, {})["node"])
    assert not {word for word in words if not re.search(rf"\b{word}\b", text)}


def test_the_files_of_the_tutorial_are_accepted_in_a_new_fleet_folder(tmp_path):
    fleet = FleetContext(tmp_path)
    run(["init", str(tmp_path), "--name", "tutorial"])
    for path, content in files_shown("tutorial.md").items():
        (tmp_path / path).write_text(content, encoding="utf-8")
    run(["contract", "freeze", "--fleet", str(tmp_path)])
    assert [node.name for node in fleet.nodes("m4:&owned")] == ["mac-01", "mac-02"]
    assert [image.name for image in load_images(fleet.files).images] == ["engine", "loadgen"]
    assert [file.path for file in weights_lock(fleet)] == ["/Users/ops/models/small-chat.gguf"]


def run(words):
    cli.main(args=words, prog_name="macfleet", standalone_mode=False)


def test_an_error_code_that_a_page_names_exists_and_has_the_exit_code_it_says():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    known = set(re.findall(r'"(E\d{4})"', source))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"\bE\d{4}\b", text)) <= known, page
        for cell in re.findall(r"^\| [^|]+\| (\d+) \|", text, re.MULTILINE):
            assert int(cell) in set(ExitCode), page


_VOCABULARY = """node pool gateway edge site environment tenant arm ownership offer contract fixture bucket cell
    segment vantage forwarder stage gate evidence run artifact bundle comparison verdict threshold baseline wave
    cordon drain undrain lease"""


def test_the_glossary_explains_the_vocabulary():
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"\w+", _VOCABULARY)
    assert not [word for word in words if f"**{word}**" not in text]


def test_every_design_page_has_the_same_four_parts():
    for page in sorted((DOCS / "design").glob("0*.md")):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
            "Rejected",
        ], page.name
        assert len(text.splitlines()) <= 90, f"{page.name} is longer than a page"


def test_every_gate_that_can_refuse_says_what_to_type():
    text = (DOCS / "how-to" / "refuse-and-mend.md").read_text(encoding="utf-8")
    assert not [kind for kind in GATES if f"`{kind}`" not in text]


def test_the_index_leads_to_every_page():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"index.md"}
    assert not {page for page in pages if f"({page})" not in text}


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    text = (DOCS / "design" / "0002-dependencies.md").read_text(encoding="utf-8")
    names = {re.match(r"[A-Za-z0-9._-]+", each)[0] for each in wanted}
    assert not {name for name in names if f"`{name}`" not in text}


def test_contributing_fits_its_limit():
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 120
