"""What the stage's file resources hold, and whether the Compose files among them name images by digest."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet.documents import nearest
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Node
from macfleet.model.reference import Reference
from macfleet.playbooks.expanded import Expanded
from macfleet.playbooks.kinds import is_archive, is_compose_project, is_docker_image, is_file
from macfleet.playbooks.play import ParsedPlaybook
from macfleet.playbooks.render import Renderer

if TYPE_CHECKING:
    from macfleet.gates.trust import Trust
    from macfleet.resources import FileParams


def file_contents(
    expanded: Iterable[Expanded], playbook: ParsedPlaybook, renderer: Renderer, problems: list[Diagnostic]
) -> dict[str, bytes]:
    """Return the bytes of every file the stage writes by path; of a secret one what names the secret."""
    files: dict[str, bytes] = {}
    for each in expanded:
        params = each.params
        try:
            if is_file(params) and params.state == "present":
                files[params.path] = _content(each, params, playbook, renderer)
            if is_archive(params) and params.source is not None:
                files[params.staged] = _held(each, params.source, playbook)
        except MacfleetError as error:
            problems += error.diagnostics
    return files


def refuse_images(
    expanded: Iterable[Expanded],
    files: Mapping[str, bytes],
    images: Mapping[str, ResolvedImage],
    trust: Mapping[str, Trust],
    node: Node,
    problems: list[Diagnostic],
) -> None:
    """Refuse images without a digest, that images.lock does not hold, foreign ones, and misplaced ones."""
    for each in expanded:
        params = each.params
        if is_docker_image(params):
            _check_locked(each, params.image, images, node.platform, problems)
            _check_trust(each, "image", {params.image}, trust, node, problems)
        if is_compose_project(params) and params.file in files:
            content = files[params.file]
            _check_compose(each, params.file, content, images, problems)
            named = _named(content, images) if trust else set()
            _check_trust(each, "file", named, trust, node, problems)


def _named(content: bytes, images: Mapping[str, ResolvedImage]) -> set[str]:
    """Return the names of images.lock that the services of a Compose file run."""
    from macfleet.resources import local_name, parse_compose  # noqa: PLC0415  (where there is a Compose file)

    try:
        run = {service.image for service in parse_compose(content)}
    except ValueError:  # said by the check of the file itself
        return set()
    return {name for name, image in images.items() if run & {image.pinned, local_name(image)}}


def _check_trust(
    each: Expanded,
    key: str,
    names: Iterable[str],
    trust: Mapping[str, Trust],
    node: Node,
    problems: list[Diagnostic],
) -> None:
    if not trust:
        return
    from macfleet.gates.trust import may_place, misplaced  # noqa: PLC0415  (plans ask no gate)

    for name in sorted(set(names) & set(trust)):
        image = trust[name]
        if not may_place(image, node.trust):
            refused = misplaced(name, image, node.name, node.trust)
            where = each.task.params.diagnose("E0740", refused.summary, key, on_value=True)
            problems.append(replace(refused, where=where.where, snippet=where.snippet, span=where.span))


def _content(each: Expanded, params: FileParams, playbook: ParsedPlaybook, renderer: Renderer) -> bytes:
    document = each.task.params
    if params.content_secret is not None:  # what is compiled reveals nothing
        return f"the secret {params.content_secret} in {params.content}".encode()
    if params.content is not None:
        return params.content.encode()
    if params.template is not None:
        name = posixpath.join(_folder(each, playbook), "templates", params.template)
        _must_exist(each, "template", name, playbook.templates)
        return renderer.template(name, each.scope, document, "template").encode()
    return _held(each, str(params.source), playbook)


def _held(each: Expanded, source: str, playbook: ParsedPlaybook) -> bytes:
    """Return a file of the task's role."""
    role = next((role for role in playbook.roles if role.name == each.task.role), None)
    held = role.files if role is not None else {}
    _must_exist(each, "source", source, held)
    return held[source]


def _must_exist(each: Expanded, key: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        guess = nearest(name, known)
        mend = f'did you mean "{posixpath.basename(guess)}"?' if guess else "Put it there."
        raise MacfleetError(
            each.task.params.diagnose("E0315", f"{key} {name} is missing", key, mend=mend, on_value=True)
        )


def _folder(each: Expanded, playbook: ParsedPlaybook) -> str:
    return f"roles/{each.task.role}" if each.task.role else posixpath.dirname(playbook.file)


def _check_locked(
    each: Expanded,
    name: str,
    images: Mapping[str, ResolvedImage],
    platform: str,
    problems: list[Diagnostic],
) -> None:
    document = each.task.params
    if name in images:
        image = images[name]
        if image.platform.split("/")[:2] != platform.split("/")[:2]:
            summary = f"image {name} ({image.reference}) is for {image.platform}, the node runs {platform}"
            why = "A foreign image would run under silent emulation."
            mend = f"Publish it for {platform}, then: macfleet image pin"
            found = document.diagnose("E0652", summary, "image", why=why, mend=mend, on_value=True)
            problems.append(replace(found, exit_code=ExitCode.HELD))
        return
    try:
        mutable = ("/" in name or ":" in name) and not Reference.parse(name).is_pinned
    except ValueError:
        mutable = False
    summary = f"image {name} is a mutable reference" if mutable else f"image {name} is not in images.lock"
    guess = nearest(name, images)
    mend = f'did you mean "{guess}"?' if guess else "macfleet image pin"
    code = "E0651" if mutable else "E0650"
    problems.append(document.diagnose(code, summary, "image", mend=mend, on_value=True))


def _check_compose(
    each: Expanded,
    path: str,
    content: bytes,
    images: Mapping[str, ResolvedImage],
    problems: list[Diagnostic],
) -> None:
    from macfleet.resources import local_name, parse_compose  # noqa: PLC0415  (where there is a Compose file)

    pushed = {local_name(image) for image in images.values()}
    try:
        services = parse_compose(content)
    except ValueError as error:
        problems.append(each.task.params.diagnose("E0324", f"{path}: {error}", "file", on_value=True))
        return
    for service in services:
        wrong = _wrong_image(service.image, pushed)
        if service.builds:
            wrong = "is built on the node, so nobody can say which bytes it is"
        if wrong:
            summary = f"service {service.name} of {path}: image {service.image or '(none)'} {wrong}"
            mend = "Pin it with macfleet image pin, and write {{ images.NAME.run }} in the Compose file."
            problems.append(each.task.params.diagnose("E0651", summary, "file", mend=mend, on_value=True))


def _wrong_image(text: str, pushed: set[str]) -> str:
    """Return what is wrong with a service's image, empty when a digest says which bytes are meant."""
    if text in pushed:
        return ""
    try:
        return "" if Reference.parse(text).is_pinned else "is not pinned by digest"
    except ValueError as error:
        return f"is not a reference: {error}"
