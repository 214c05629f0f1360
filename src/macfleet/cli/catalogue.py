"""What every error code means, read from where macfleet says it: the catalogue cannot lag behind."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from macfleet.model.exit_codes import ExitCode

_CODE = re.compile(r'"(E\d{4})"')
_MOST = 4
"""Alternatives of one text that are kept."""
_PLACES = ("code", "summary", "why", "mend")
_UNKNOWN = "…"


@dataclass(frozen=True, slots=True)
class Entry:
    """One code.

    Attributes:
        summaries: what may be said under it; a value put in stands as ``<name>``.
        whys, mends: reasons and what to do, where the text is fixed.
        exit_codes: how a command ends that stops with it.
        severity: ``warning`` when it never stops a command.
    """

    code: str
    summaries: tuple[str, ...]
    whys: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = (int(ExitCode.USAGE),)
    severity: str = "error"


WRITTEN: Mapping[str, Entry] = {
    each.code: each
    for each in (
        Entry("E0103", ("a file has an unknown key, a missing key or a wrong value",)),
        Entry(
            "E0210",
            ("groups of a node that are not inside one another set a variable differently",),
            ("Ansible would let the name or a priority decide without a word.",),
            ("Set it on the node, or make one group a child of the other.",),
        ),
        Entry(
            "E0310",
            ("'<name>' is undefined",),
            ("An expression names a variable that nothing gives a value.",),
            ("Give it in the role's defaults, the playbook's vars or the inventory; see: macfleet lint",),
        ),
        Entry(
            "E0331",
            ("nothing gives <name> a value",),
            ("A role or playbook names it, though no node reached that place yet.",),
            ("Give it in the role's defaults/main.yml, or mend its spelling.",),
            (),
            "warning",
        ),
        Entry(
            "E0598",
            ("the store <name> failed",),
            ("Journal, locks and evidence are there: without it nothing begins, and what runs breaks off.",),
            (
                "What it said stands with it: make room, see who may write there, or let its server run",
                "Then go on with what broke off: --resume RUN; see: macfleet run list",
            ),
            (int(ExitCode.INTERNAL),),
        ),
        Entry(
            "E0625",
            ('image "<name>" is not pinned, or pinned as something else than images.yml names',),
            ("A tag may mean other bytes tomorrow, so nodes get only what images.lock pins by digest.",),
            ("Pin it: macfleet image pin",),
        ),
        Entry(
            "E0966",
            ("the file is not a bundle that can be read",),
            mends=("Make one with: macfleet run export RUN FILE.tar",),
        ),
        Entry("E0967", ("<name> may not be in this bundle",)),
        Entry("E0975", ("a cell of the run is INVALID",), ("An invalid cell is never judged.",)),
    )
}
"""Codes whose texts are put together elsewhere than where the code stands."""


def codes() -> tuple[str, ...]:
    """Return every code there is, sorted."""
    return tuple(sorted({code for _, text in _sources() for code in _CODE.findall(text)}))


def entry(code: str) -> Entry | None:
    """Return what a code means; None when macfleet never says it."""
    if code in WRITTEN:
        return WRITTEN[code]
    calls = [call for _, text in _sources() if f'"{code}"' in text for call in _calls(text, code)]
    if not calls:
        return None

    def said(place: str) -> tuple[str, ...]:
        texts = (text for call in calls for text in call.get(place, ()))
        return tuple(dict.fromkeys(text for text in texts if text.strip(_UNKNOWN)))

    exits = sorted({ExitCode[name] for call in calls for name in call.get("exit", ("USAGE",))})
    warned = all("WARNING" in call.get("severity", ()) for call in calls)
    return Entry(
        code,
        said("summary"),
        said("why"),
        said("mend"),
        () if warned else tuple(map(int, exits)),
        "warning" if warned else "error",
    )


def _sources() -> Iterator[tuple[Path, str]]:
    """Yield every module but the fakes, which are nobody's errors."""
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        if "testing" not in path.relative_to(package).parts:
            yield path, path.read_text(encoding="utf-8")


Said = Mapping[str, tuple[str, ...]]


def _calls(text: str, code: str) -> Iterator[Said]:
    """Yield what each call that names the code says."""
    tree = ast.parse(text)
    for function, call in _with_functions(tree):
        names = _assigned(function, call.lineno) if function is not None else {}
        names = {**_assigned(tree, None), **names}
        given = {place: value for place, value in zip(_PLACES, _positional(call), strict=False) if value}
        given |= {word.arg: word.value for word in call.keywords if word.arg}
        if code not in _texts(given.get("code"), names):
            continue
        if "summary" not in given and isinstance(given.get("kind"), ast.expr):
            kind = _texts(given["kind"], names)
            yield {"summary": tuple(f"{each}: unknown key, missing key or wrong value" for each in kind)}
            continue
        given |= _replaced(function, call)
        said = {place: _texts(given.get(place), names) for place in _PLACES[1:]}
        said |= {"exit": _attribute(given.get("exit_code")), "severity": _attribute(given.get("severity"))}
        yield {place: found for place, found in said.items() if found}


def _replaced(function: Function | None, call: ast.Call) -> dict[str, ast.expr]:
    """Return what ``replace(found, …)`` changes of the diagnostic that the call makes."""
    nodes = [] if function is None else list(ast.walk(function))
    held = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and node.value is call
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {
        word.arg: word.value
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "replace"
        if any(each is call or (isinstance(each, ast.Name) and each.id in held) for each in node.args[:1])
        for word in node.keywords
        if word.arg in ("exit_code", "severity")
    }


def _positional(call: ast.Call) -> list[ast.expr | None]:
    """Return arguments as code, summary, why and mend; what others take after the summary is their own."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    args: list[ast.expr | None] = list(call.args)
    if name == "Diagnostic":
        return args[:4]
    first = next((at for at, each in enumerate(call.args) if _is_code(each)), None)
    if first is None and name == "validate":
        return []
    return args[first or 0 : (first or 0) + 2]


def _is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and bool(re.fullmatch(r"E\d{4}", str(node.value)))


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _with_functions(
    tree: ast.AST, inside: Function | None = None
) -> Iterator[tuple[Function | None, ast.Call]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield inside, node
        yield from _with_functions(node, node if isinstance(node, Function) else inside)


def _assigned(scope: Function | ast.Module, line: int | None) -> dict[str, ast.expr]:
    """Return what each name holds: by the last assignment before `line`, of a module by its own."""
    nodes = ast.walk(scope) if line is not None else scope.body
    found: dict[str, tuple[int, ast.expr]] = {}
    for node in nodes:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if line is not None and node.lineno >= line:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for name, value in (pair for target in targets for pair in _pairs(target, node.value)):
            if found.get(name, (0, value))[0] <= node.lineno:
                found[name] = (node.lineno, value)
    return {name: value for name, (_, value) in found.items()}


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for each, inner in zip(target.elts, value.elts, strict=False):
            yield from _pairs(each, inner)


Names = Mapping[str, ast.expr]


def _texts(node: ast.expr | None, names: Names, depth: int = 0) -> tuple[str, ...]:  # noqa: PLR0911  (one return a kind of node)
    """Return the texts an expression may give."""
    if node is None or depth > 4:
        return ()
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) and node.value else ()
    if isinstance(node, ast.JoinedStr):
        parts = [_part(each, names, depth) for each in node.values]
        return tuple("".join(each) for each in product(*parts))[:_MOST]
    if isinstance(node, ast.IfExp):
        return (*_texts(node.body, names, depth), *_texts(node.orelse, names, depth))
    if isinstance(node, ast.BinOp):
        left, right = _texts(node.left, names, depth), _texts(node.right, names, depth)
        return tuple(a + b for a in left or (_UNKNOWN,) for b in right or (_UNKNOWN,))[:_MOST]
    if isinstance(node, ast.Name):
        return _texts(names.get(node.id), names, depth + 1)
    return ()


def _part(node: ast.expr, names: Names, depth: int) -> tuple[str, ...]:
    if isinstance(node, ast.Constant):
        return (str(node.value),)
    value = node.value if isinstance(node, ast.FormattedValue) else node
    if isinstance(value, ast.Name):
        known = _texts(value, names, depth + 1) if value.id.isupper() else ()
        return known or (f"<{value.id}>",)
    if isinstance(value, ast.Attribute):
        return (f"<{value.attr}>",)
    return (_UNKNOWN,)


def _attribute(node: ast.expr | None) -> tuple[str, ...]:
    return (node.attr,) if isinstance(node, ast.Attribute) else ()
