"""One line of a text file that somebody else owns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, compare, removal
from macfleet.resources import edits
from macfleet.resources.edits import Pattern
from macfleet.resources.params import AbsolutePath, Params, Presence, Surroundings

_COUNT = f"""{edits.SAME}
function wanted(text) {{ return ENVIRON["mf_line"] != "" && same(text, ENVIRON["mf_line"]) }}
function matching(text) {{ return ENVIRON["mf_match"] != "" && text ~ ENVIRON["mf_match"] }}
"""
_LOOK = f"""{edits.PLACE}{_COUNT}
wanted($0) {{ equal++; next }}
matching($0) {{ if (!others++) first = $0 }}
anchored($0) {{ anchors++ }}
END {{ printf "%d %d %d %s\\n", equal, others, anchors, first }}
"""
_SET = f"""{edits.PLACE}{_COUNT}
{{ lines[NR] = $0; if (!at && matching($0)) at = NR }}
END {{
  if (at) lines[at] = ENVIRON["mf_line"]; else before = place(NR, lines)
  for (i = 1; i <= NR; i++) {{
    if (i == before) print ENVIRON["mf_line"]
    print lines[i]
  }}
  if (before > NR) print ENVIRON["mf_line"]
}}
"""
_DROP = f"{_COUNT}!wanted($0) && !matching($0)"


class LineInFileParams(Params):
    """One line of a text file; the rest of the file, its mode and its owner stay.

    With `match` the line takes the place of the one line that matches; several are refused, macfleet does
    not guess which is meant. Patterns are POSIX extended regular expressions.
    """

    kind: ClassVar[str] = "line_in_file"

    path: AbsolutePath = Field(description="Absolute path of the file on the node.")
    line: str = Field("", description="The line, without its line break. Needed unless absent.")
    match: Pattern = Field("", description="The line that it replaces; every line that goes, when absent.")
    after: Pattern = Field("", description="A new line is put after the last line that matches.")
    before: Pattern = Field("", description="A new line is put before the first line that matches.")
    create: bool = Field(False, description="Make the file when it is missing.")
    id: str = Field("", description="Name in the plan; the match or the line unless given.")
    become: bool = Field(False, description="Act as root through sudo -n.")
    state: Presence = Field("present", description="absent removes the line, and every line that matches.")

    @field_validator("line")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if any(character in value for character in "\0\n\r"):
            raise ValueError("a line must not hold a line break or a NUL byte; use block for several lines")
        return value

    @model_validator(mode="after")
    def _complete(self) -> LineInFileParams:
        if self.state == "present" and not self.line:
            raise ValueError("line: is missing")
        if not self.line and not self.match:
            raise ValueError("say which line goes: give line: or match:")
        if self.after and self.before:
            raise ValueError("give after: or before:, not both")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (path and line name it)
        """Return ``line_in_file.``, the path and what tells the line from others."""
        return f"line_in_file.{self.path}:{self.id or self.match or self.line}"

    def uses(self) -> tuple[str, ...]:
        """Return the path."""
        return (self.path,)

    def build(self, around: Surroundings) -> LineInFile:
        """Return the line (raises ValueError when the stage writes the file whole)."""
        if self.path in around.files:
            raise ValueError(f"a file resource of this stage writes {self.path} whole; put the line there")
        absent = self.state == "absent"
        return LineInFile(
            path=self.path,
            line=self.line,
            name=self.id or self.match or self.line,
            match=self.match,
            after=self.after,
            before=self.before,
            create=self.create,
            become=self.become,
            absent=absent,
            needs=around.needs,
        )


@dataclass(frozen=True, slots=True)
class LineInFile:
    """A line; patterns that are empty match nothing."""

    path: str
    line: str
    name: str
    match: str = ""
    after: str = ""
    before: str = ""
    create: bool = False
    become: bool = False
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "line_in_file"

    @property
    def address(self) -> str:
        """``line_in_file.``, the path and the name."""
        return f"line_in_file.{self.path}:{self.name}"

    def probe(self) -> Probe:
        """Count the lines that are the wanted one and the others that match, and read the first of those."""
        return Probe(edits.probe(self.path, _LOOK, self._values, become=self.become), self._parse)

    def desired(self) -> State:
        """The line, and no other that matches."""
        return {} if self.absent else {"line": self.line, "others": 0}

    def change(self, actual: State | None) -> Change:
        """Compare; a missing file, a link, several matches and a missing place are refused."""
        if self.absent:
            gone = removal(self.address, actual)
            return gone if actual is None or "type" not in actual else replace(gone, blocked=self._foreign)
        change = compare(self.address, self.desired(), actual)
        if actual is None:
            words = f"{self.path} is missing; say create: true, or manage it with file"
            return change if self.create else replace(change, blocked=words)
        if change.action is Action.NOOP:
            return change
        return replace(change, blocked=self._refused(actual))

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Rewrite the file with or without the line."""
        if change.action is Action.NOOP:
            return ()
        program = _DROP if self.absent else _SET
        return (Run(edits.rewrite(self.path, program, self._values), become=self.become),)

    @property
    def _values(self) -> dict[str, str]:
        return {"mf_line": self.line, "mf_match": self.match, **edits.placed(self.after, self.before)}

    @property
    def _foreign(self) -> str:
        return f"{self.path} is a symbolic link or no regular file; name the file itself"

    def _refused(self, actual: State) -> str:
        if "type" in actual:
            return self._foreign
        others = actual["others"]
        if isinstance(others, int) and others > 0:
            return f"{others + 1} lines of {self.path} match {self.match!r}; say which one is meant"
        pattern = self.after or self.before
        if pattern and actual["line"] is None and not actual["anchors"]:
            return f"no line of {self.path} matches {pattern!r}, where the new line is to be put"
        return ""

    def _parse(self, output: ProbeOutput) -> State | None:
        kind, _, rest = output.stdout.removesuffix("\n").partition(" ")
        if output.exit == 0 and kind == "absent":
            return None
        if output.exit == 0 and kind == "other":
            return {"type": "other"}
        counts, first = rest.split(" ", 3)[:3], rest.split(" ", 3)[3:]
        if output.exit != 0 or kind != "file" or not first or not all(each.isdecimal() for each in counts):
            raise ValueError(f"{self.path}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        equal, others, anchors = map(int, counts)
        if self.absent:
            return {"lines": equal + others} if equal + others else None
        if equal:
            return {"line": self.line, "others": others, "anchors": anchors}
        found = first[0] if others else None
        return {"line": found, "others": max(0, others - 1), "anchors": anchors}
