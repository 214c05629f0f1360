"""Everything `macfleet docs` can print: resource kinds, gates, and the files of a fleet folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from macfleet.cli.init import scaffold_root
from macfleet.model.diagnostic import Diagnostic, MacfleetError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from macfleet.gates import Gate
    from macfleet.views.annotated import Page

RESOURCE, GATE, FILE = "resource", "gate", "file"


class _File(NamedTuple):
    """A file of the fleet folder: where it stands, what it says, and the file that shows it."""

    path: str
    title: str
    shown: str = ""


FILES: Mapping[str, _File] = {
    "settings": _File("macfleet.yml", "Settings of the fleet folder."),
    "inventory": _File("inventory/hosts.yml", "Nodes and groups in Ansible's YAML layout."),
    "node": _File(
        "inventory/host_vars/NODE.yml", "Variables macfleet reads of a node.", "inventory/hosts.yml"
    ),
    "playbook": _File("playbooks/stage3-layout.yml", "A stage: nodes, waves, roles, gates."),
    "task": _File("roles/ROLE/tasks/main.yml", "Tasks of a role.", "roles/colima/tasks/main.yml"),
    "defaults": _File(
        "roles/ROLE/defaults/main.yml", "Variables a role lets others set.", "roles/compose/defaults/main.yml"
    ),
    "contract": _File("contract/contract.yml", "What is promised: routes, buckets, service levels."),
    "fixture": _File(
        "contract/fixtures/BUCKET/NAME.json", "One frozen request.", "contract/fixtures/short/story.json"
    ),
    "thresholds": _File("contract/thresholds.yml", "When a measurement calls for action."),
    "offers": _File("contract/offers.yml", "Prices to rent or to own."),
    "budget": _File("contract/budget.yml", "Where the milliseconds of a request may go."),
    "images": _File("images.yml", "Images by name, and registries."),
    "scan": _File("scan.yml", "What a scan of an image may find, exceptions with an end, VEX documents."),
    "promotion": _File("promotion.yml", "Differences between environments that are meant."),
    "weights": _File("weights.lock", "Weights on the nodes, with checksums."),
}


def known() -> dict[str, tuple[str, str]]:
    """Return group and first sentence of every kind by its name: resources, then gates, then files."""
    from macfleet.gates import KINDS as GATES
    from macfleet.resources import KINDS as RESOURCES

    found = {kind.kind: (RESOURCE, _first(kind.__doc__)) for kind in sorted(RESOURCES, key=lambda k: k.kind)}
    found |= {name: (GATE, _first(_gate_doc(name))) for name in sorted(GATES)}
    return found | {name: (FILE, f"{file.path}: {file.title}") for name, file in FILES.items()}


def page(name: str) -> Page:
    """Return what there is to say of one kind.

    Raises:
        MacfleetError: E0338 for a name that is none, with the nearest.
    """
    from macfleet.documents import nearest

    kinds = known()
    if name not in kinds:
        guess = nearest(name, kinds)
        mend = f'did you mean "{guess}"?' if guess else "List them: macfleet docs"
        raise MacfleetError(Diagnostic("E0338", f'there is no kind "{name}"', mend=mend))
    build: Mapping[str, Callable[[str], Page]] = {RESOURCE: _resource, GATE: _gate, FILE: _file}
    return build[kinds[name][0]](name)


def _resource(name: str) -> Page:
    from macfleet.resources import KINDS
    from macfleet.views.annotated import Page

    kind = next(kind for kind in KINDS if kind.kind == name)
    example = (_examples() / f"{name}.yml").read_text(encoding="utf-8")
    return Page(name, RESOURCE, _sentences(kind.__doc__), tuple(_keys("", kind)), example)


def _gate(name: str) -> Page:
    from macfleet.gates.params import PARAMS
    from macfleet.views.annotated import Page

    model = PARAMS.get(name)
    keys = tuple(_keys("", model)) if model else ()
    return Page(name, GATE, _sentences(_gate_doc(name)), keys, f"gates:\n  - {name}: {_gate_use(name)}\n")


def _file(name: str) -> Page:
    from macfleet.inventory.variables import DEFAULTS
    from macfleet.views.annotated import Page

    file = FILES[name]
    keys = tuple(each for title, model in _models(name) for each in _keys(title, model))
    defaults = {key: f"`{value}`" if value else "none" for key, value in DEFAULTS.items()}
    of_node = defaults if name == "node" else {}
    return Page(name, FILE, f"{file.path}: {file.title}", keys, _shown(file), of_node)


def _models(name: str) -> list[tuple[str, type[BaseModel]]]:
    from macfleet.analysis.budget import BudgetFile
    from macfleet.contract.border import ContractFile
    from macfleet.contract.images_border import ImagesModel
    from macfleet.gates.scan_policy import ScanModel
    from macfleet.inventory.settings import SettingsFile
    from macfleet.inventory.variables import NodeVariables
    from macfleet.playbooks import grammar
    from macfleet.rollout.promotion_declared import PromotionModel

    models: dict[str, list[tuple[str, type[BaseModel]]]] = {
        "settings": [("", SettingsFile)],
        "node": [("", NodeVariables)],
        "contract": [("", ContractFile)],
        "budget": [("", BudgetFile)],
        "images": [("", ImagesModel)],
        "promotion": [("", PromotionModel)],
        "scan": [("", ScanModel)],
        "playbook": [("", grammar.PlayBorder), ("a role", grammar.RoleUseBorder)],
        "task": [("besides its resource kind", grammar.TaskBorder)],
    }
    return models.get(name, [])


def _keys(title: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield a model, and those inside it under the key that holds them."""
    from macfleet.documents.keys import nested

    yield title, model
    for name, below in nested(model):
        yield from _keys(f"{title}.{name}".strip("."), below)


def _shown(file: _File) -> str:
    from macfleet.cli.scaffold import IMAGES, PROMOTION, SCAN, SETTINGS, WEIGHTS

    written = {
        "macfleet.yml": SETTINGS.format(name="my-fleet"),
        "images.yml": IMAGES,
        "promotion.yml": PROMOTION,
        "scan.yml": SCAN,
        "weights.lock": WEIGHTS,
    }
    if file.path in written:
        return written[file.path]
    return (scaffold_root() / (file.shown or file.path)).read_text(encoding="utf-8")


def _examples() -> Path:
    """Return the folder of the resource kinds' examples: inside the wheel, or in the checkout's docs."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "examples", package.parents[1] / "docs" / "examples"):
        if folder.is_dir():
            return folder
    mend = "Install macfleet again from its wheel."
    raise MacfleetError(Diagnostic("E0339", "this installation carries no examples", mend=mend))


def _gate_use(name: str) -> str:
    """Return the parameters of the first shipped playbook that uses a gate, as flow YAML."""
    import yaml

    for path in sorted((scaffold_root() / "playbooks").glob("*.yml")):
        for play in yaml.safe_load(path.read_text(encoding="utf-8")):
            for line in play.get("gates", ()):
                if name in line:
                    return yaml.safe_dump(line[name] or {}, default_flow_style=True, width=1000).strip()
    return "{}"


def gate_sentences(name: str) -> tuple[str, str, str]:
    """Return what a gate does, what evidence it needs, and how it judges."""
    gate = _gate_type(name)
    return _sentences(gate.__doc__), _first(gate.needs.__doc__), _first(gate.judge.__doc__)


def _gate_doc(name: str) -> str:
    return _gate_type(name).__doc__ or ""


def _gate_type(name: str) -> type[Gate]:
    from macfleet.gates import build_gate
    from macfleet.model.stage import GateSpec

    return type(build_gate(GateSpec(name, {"arm": "bare"} if name == "routes_answer" else {})))


def _first(text: str | None) -> str:
    found = re.match(r".+?[.](?= |$)", _sentences(text))
    return found[0] if found else _sentences(text)


def _sentences(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n    Attributes:")[0].split()).replace("``", "`")
