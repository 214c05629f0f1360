"""Where a node pulls an image from: mirrors in order, then its own registry, each with its login.

A login reaches Docker's client through a pipe that stands where its settings would be, and holds nothing
but the login of the one place that is asked: it is in no file, no argument and no environment, and no other
registry sees it. What a mirror serves is believed by its digest alone, which the engine compares.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Node
from macfleet.model.reference import Reference
from macfleet.model.resource import ProbeOutput
from macfleet.model.secret import Secret
from macfleet.model.shell import quote
from macfleet.resources.secret_content import SecretContent

NOTHING_PULLED = 69
"""Exit status of a pull that no source answered."""

# Docker's client looks the login of its own registry up under this name.
_SETTINGS_KEYS = {"docker.io": "https://index.docker.io/v1/"}
_LOGINS = r"""logins=$(mktemp -d "${TMPDIR:-/tmp}/macfleet-login.XXXXXX"); giver=
took() { { [ -z "$giver" ] || { kill "$giver"; wait "$giver"; }; } 2>/dev/null || :; giver=; }
trap 'took; rm -rf "$logins"' EXIT; trap 'exit 143' INT TERM
mkfifo -m 600 "$logins/config.json"
"""
_FROM = r"""pulled=
from() {
  [ -z "$pulled" ] || return 0
  settings=$DOCKER_CONFIG
  if [ -n "$3" ]; then
    settings=$logins
    ( trap '' PIPE; while :; do printf '%s' "$3" >"$logins/config.json"; sleep 0.2; done ) \
      </dev/null >/dev/null 2>&1 &
    giver=$!
  fi
  if said=$(DOCKER_CONFIG=$settings docker pull --quiet --platform "$platform" "$2" </dev/null 2>&1)
  then pulled=$2
  else printf 'from %s %s\n' "$1" "$(printf '%s' "$said" | tr '\r\n' '  ' | tail -c 2000)" >&2
  fi
  [ -z "$3" ] || took
}
"""
_PREFIX = "Error response from daemon: "
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
_LONGEST = 240
_SAID = re.compile(r"^from ([0-9]{1,3}) (.*)$", re.MULTILINE)
_REFUSED = re.compile(
    r"unauthori[sz]ed|authorization failed|authentication required|no basic auth|(?<!permission )\bdenied\b"
    r"|incorrect username|403 forbidden|status(?: code)?:? 40[13]\b",
    re.IGNORECASE,
)
_FOREIGN = re.compile(
    r"verification failed|unexpected commit (?:digest|size)|failed size validation|invalid checksum",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"manifest unknown|name unknown|sha256:[0-9a-f]{64}:? not found|404 not found", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Source:
    """One place a node may pull an image from.

    Attributes:
        reference: the image there, by digest.
        user, password: the login at that place; empty and None without one.
    """

    reference: Reference
    user: str = ""
    password: SecretContent | None = None

    @property
    def words(self) -> str:
        """The place, and who logs in there."""
        return f"{self.reference.registry} as {self.user}" if self.user else self.reference.registry


def sources_of(
    node: Node, image: ResolvedImage, secret: Callable[[str], Secret] | None = None
) -> tuple[Source, ...]:
    """Return where a node looks for an image, in order; the image's own registry is last."""
    own = Reference.parse(image.pinned)
    known = {each.host: each for each in node.registries}
    mirrors = known[own.registry].mirrors if own.registry in known else ()
    found = []
    for place in (*(own.at(mirror) for mirror in mirrors), own):
        access = known.get(place.registry)
        if access is None or not access.user or secret is None:
            found.append(Source(place))
        else:
            found.append(Source(place, access.user, SecretContent(access.password, secret)))
    return tuple(found)


def pull_script(sources: Sequence[Source], platform: str, name: str, node: str) -> str:
    """Return POSIX sh that pulls from the first source that serves the image; it holds the logins.

    It exits with `NOTHING_PULLED` where none did, after ``from NUMBER WORDS`` on stderr for each. With
    several sources the image gets the tag `name`, and what a mirror calls it is forgotten again.

    Raises:
        MacfleetError: E0653 a password cannot be had.
    """
    logins = [_settings(source, node) for source in sources]
    lines = [f"platform={quote(platform)}", _LOGINS if any(logins) else "", _FROM]
    lines += [
        f"from {number} {quote(str(source.reference))} {quote(login)}"
        for number, (source, login) in enumerate(zip(sources, logins, strict=True))
    ]
    lines.append(f'[ -n "$pulled" ] || exit {NOTHING_PULLED}')
    if len(sources) > 1:
        own = quote(str(sources[-1].reference))
        lines.append(f'docker tag "$pulled" {quote(name)}')
        lines.append(
            f'[ "$pulled" = {own} ] || docker image rm --no-prune "$pulled" </dev/null >/dev/null || :'
        )
    return "\n".join(lines)


def passed_over(sources: Sequence[Source], output: ProbeOutput) -> tuple[str, ...]:
    """Return in words which mirrors did not serve the image and why."""
    mirrors = range(len(sources) - 1)
    said = {number: text for number, text in _answers(output) if number in mirrors}
    return tuple(
        f"mirror {sources[at].words} was passed over for {sources[at].reference.path}: {_in_words(text)}"
        for at, text in said.items()
    )


def refusal(sources: Sequence[Source], output: ProbeOutput, node: str, address: str) -> Diagnostic | None:
    """Return why nothing could be pulled; None where the pull did not come to that.

    E0654 a login was refused or is needed, E0655 the image is not there, E0656 other bytes were served, E0657
    the registry does not answer.
    """
    answers = dict(_answers(output))
    own = len(sources) - 1
    if output.exit != NOTHING_PULLED or own not in answers:
        return None
    source, said = sources[own], answers[own]
    why = " ".join(
        (f"It said: {said[-300:].strip()}.", *(f"{note}." for note in passed_over(sources, output)))
    )
    found = Diagnostic("", "", why=why, node=node, address=address, exit_code=ExitCode.HELD)
    registry, image = source.reference.registry, str(source.reference)
    explain = f"macfleet inventory explain {quote(f'{node}.registries')}"
    if _REFUSED.search(said):
        mend = f'Name a login for "{registry}" under registries: in the inventory. See: {explain}'
        summary = f"{registry} wants a login for {image}, and there is none"
        if source.password is not None:
            mend = f"Check {source.password.reference} and what {source.user} may read. See: {explain}"
            summary = f"{registry} refuses the login of {source.user} ({source.password.reference})"
            why = f"{image} is pulled with it. {why}"
        return replace(found, code="E0654", summary=summary, why=why, mend=mend)
    if _FOREIGN.search(said):
        mend = "Look at what stands between the node and the registry (proxy), or push the image again."
        return replace(found, code="E0656", summary=f"{registry} serves other bytes than {image}", mend=mend)
    if _MISSING.search(said):
        mend = "Push it there, or pin what is there: macfleet image pin"
        return replace(found, code="E0655", summary=f"{registry} does not have {image}", mend=mend)
    mend = f"Is it reachable from {node}? Else let images travel over SSH: delivery: push"
    return replace(found, code="E0657", summary=f"{registry} does not give the node {image}", mend=mend)


def _answers(output: ProbeOutput) -> list[tuple[int, str]]:
    return [(int(number), text) for number, text in _SAID.findall(output.stderr)]


def _in_words(said: str) -> str:
    """Return what a mirror's failure means; a node's text is shown only at its end."""
    for pattern, words in (
        (_REFUSED, "it refuses the login"),
        (_FOREIGN, "it serves other bytes under this digest"),
        (_MISSING, "it does not have the image"),
    ):
        if pattern.search(said):
            return words
    return f"it does not answer ({_short(said)})"


def _short(said: str) -> str:
    """Return the end of what an engine said, without its prefix, digests cut short."""
    told = _DIGEST.sub(r"\1…", said.strip().removeprefix(_PREFIX))
    return f"…{told[-_LONGEST:]}" if len(told) > _LONGEST else told


def _settings(source: Source, node: str) -> str:
    """Return the client's settings with the login of one place; empty without one."""
    if source.password is None:
        return ""
    registry = source.reference.registry
    try:
        password = source.password.reveal().decode()
    except MacfleetError as error:
        raise MacfleetError(_no_password(registry, node, each) for each in error.diagnostics) from error
    login = base64.b64encode(f"{source.user}:{password}".encode()).decode("ascii")
    return json.dumps({"auths": {_SETTINGS_KEYS.get(registry, registry): {"auth": login}}})


def _no_password(registry: str, node: str, why: Diagnostic) -> Diagnostic:
    what = f"{why.where.file}: {why.summary}" if why.where else why.summary
    return replace(
        why,
        code="E0653",
        summary=f"the password for registry {registry} is not there: {what}",
        why=f"{why.why} The inventory names it under registries: ({why.code}).".strip(),
        where=None,
        node=node,
    )
