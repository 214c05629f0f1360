"""Which tasks a person asked for by tag: pure, with Ansible's reserved words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from macfleet.documents import nearest
from macfleet.model.diagnostic import Diagnostic, MacfleetError

ALWAYS, NEVER, ALL, TAGGED, UNTAGGED = "always", "never", "all", "tagged", "untagged"
RESERVED = (ALWAYS, NEVER, ALL, TAGGED, UNTAGGED)
"""Words with a meaning of their own: the first two stand at tasks, the others follow --tags, --skip-tags."""


@dataclass(frozen=True, slots=True)
class TagChoice:
    """What ``--tags`` and ``--skip-tags`` said; empty means the whole stage.

    A task tagged ``never`` acts only when one of its other tags (or ``never``) is named, one tagged
    ``always`` unless ``always`` is skipped.
    """

    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()

    @property
    def partial(self) -> bool:
        """Whether a part of the stage was asked for; ``--tags all`` is the whole."""
        return bool(self.skip or self.only - {ALL})

    def wants(self, tags: Iterable[str]) -> bool:
        """Whether a task with these tags acts."""
        own = frozenset(tags)
        return self._chosen(own) and not self._skipped(own)

    def __str__(self) -> str:
        parts = (("--tags", self.only), ("--skip-tags", self.skip))
        return " ".join(f"{option} {','.join(sorted(words))}" for option, words in parts if words)

    def _chosen(self, own: frozenset[str]) -> bool:
        if not self.only:
            return NEVER not in own
        if ALWAYS in own or own & self.only:
            return True
        if NEVER in own:
            return False
        return ALL in self.only or (TAGGED if own else UNTAGGED) in self.only

    def _skipped(self, own: frozenset[str]) -> bool:
        if ALL in self.skip:
            return ALWAYS not in own or ALWAYS in self.skip
        return bool(own & self.skip) or (TAGGED if own else UNTAGGED) in self.skip


WHOLE = TagChoice()
"""What a run without either option takes."""


def choose_tags(only: Iterable[str], skip: Iterable[str], known: Iterable[str]) -> TagChoice:
    """Return what was asked for; each word may hold several tags between commas.

    Raises:
        MacfleetError: E0325 for every tag that no task of the stage has.
    """
    choice = TagChoice(_words(only), _words(skip))
    there = {*known, *RESERVED}
    strange = sorted((choice.only | choice.skip) - there)
    if strange:
        raise MacfleetError(_unknown(tag, sorted(set(known))) for tag in strange)
    return choice


def _words(given: Iterable[str]) -> frozenset[str]:
    return frozenset(word.strip() for text in given for word in text.split(",") if word.strip())


def _unknown(tag: str, known: list[str]) -> Diagnostic:
    guess = nearest(tag, known)
    mend = f'did you mean "{guess}"?' if guess else f"Tags: {', '.join(known) or 'none'}."
    why = "A tag that nothing has would leave everything out without a word."
    return Diagnostic("E0325", f'no task of the stage has the tag "{tag}"', why=why, mend=mend)
