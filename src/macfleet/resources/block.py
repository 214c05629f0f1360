"""A marked block of lines in a text file that somebody else owns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.model.resource import (
    Action,
    Change,
    Probe,
    ProbeOutput,
    Run,
    State,
    Step,
    Value,
    compare,
    removal,
)
from macfleet.resources import edits
from macfleet.resources.edits import Pattern
from macfleet.resources.params import AbsolutePath, Params, Presence, Surroundings

_LONGEST = 65536
_LOOK = f"""{edits.PLACE}{edits.SAME}
same($0, ENVIRON["mf_begin"]) {{ begins++; if (ends >= begins) crossed = 1; inside = 1; next }}
same($0, ENVIRON["mf_end"]) {{ ends++; if (ends > begins) crossed = 1; inside = 0; next }}
inside {{ block = block $0 "\\n"; next }}
anchored($0) {{ anchors++ }}
END {{ printf "%d %d %d %d\\n%s", begins, ends, crossed, anchors, block }}
"""
_SET = f"""{edits.PLACE}{edits.SAME}
function put() {{
  if (ENVIRON["mf_block"] == "") return
  print ENVIRON["mf_begin"]; print ENVIRON["mf_block"]; print ENVIRON["mf_end"]
}}
same($0, ENVIRON["mf_begin"]) {{ inside = 1; at = count + 1; next }}
same($0, ENVIRON["mf_end"]) {{ inside = 0; next }}
!inside {{ lines[++count] = $0 }}
END {{
  if (!at) at = place(count, lines)
  for (i = 1; i <= count; i++) {{ if (i == at) put(); print lines[i] }}
  if (at > count) put()
}}
"""


class BlockParams(Params):
    """Lines between two marker lines of a text file; the rest of the file, its mode and its owner stay.

    Patterns are POSIX extended regular expressions.
    """

    kind: ClassVar[str] = "block"

    path: AbsolutePath = Field(description="Absolute path of the file on the node.")
    name: str = Field(description="Tells the block from others of the file; part of its markers.")
    block: str = Field("", description="The lines. Needed unless absent.")
    begin: str = Field("", description="The line before it; # BEGIN macfleet NAME unless given.")
    end: str = Field("", description="The line after it; # END macfleet NAME unless given.")
    after: Pattern = Field("", description="A new block is put after the last line that matches.")
    before: Pattern = Field("", description="A new block is put before the first line that matches.")
    create: bool = Field(False, description="Make the file when it is missing.")
    become: bool = Field(False, description="Act as root through sudo -n.")
    state: Presence = Field("present", description="absent removes the block and its markers.")

    @field_validator("name", "begin", "end")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if any(character in value for character in "\0\n\r"):
            raise ValueError("a marker is one line")
        return value

    @model_validator(mode="after")
    def _complete(self) -> BlockParams:
        lines = self.block.splitlines()
        if self.state == "present" and not any(lines):
            raise ValueError("block: is missing; to take it away say state: absent")
        if not self.name.strip() or self.markers[0] == self.markers[1]:
            raise ValueError("name must not be empty, and begin and end must differ")
        if set(self.markers) & set(lines) or "\0" in self.block or len(self.block.encode()) > _LONGEST:
            raise ValueError(f"a block has at most {_LONGEST} bytes, none NUL, and no line like its markers")
        if self.after and self.before:
            raise ValueError("give after: or before:, not both")
        return self

    @property
    def markers(self) -> tuple[str, str]:
        """The lines around the block."""
        return (
            self.begin or f"# BEGIN macfleet {self.name}",
            self.end or f"# END macfleet {self.name}",
        )

    def address(self, task: str) -> str:  # noqa: ARG002  (path and name make it)
        """Return ``block.``, the path and the name."""
        return f"block.{self.path}:{self.name}"

    def uses(self) -> tuple[str, ...]:
        """Return the path."""
        return (self.path,)

    def build(self, around: Surroundings) -> Block:
        """Return the block (raises ValueError when the stage writes the file whole)."""
        if self.path in around.files:
            raise ValueError(f"a file resource of this stage writes {self.path} whole; put the block there")
        return Block(
            path=self.path,
            name=self.name,
            block="" if self.state == "absent" else self.block.rstrip("\n"),
            markers=self.markers,
            after=self.after,
            before=self.before,
            create=self.create,
            become=self.become,
            needs=around.needs,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A block without its last line break; an empty one must not be there."""

    path: str
    name: str
    block: str
    markers: tuple[str, str]
    after: str = ""
    before: str = ""
    create: bool = False
    become: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "block"

    @property
    def address(self) -> str:
        """``block.``, the path and the name."""
        return f"block.{self.path}:{self.name}"

    def probe(self) -> Probe:
        """Count the markers and read what stands between them."""
        return Probe(edits.probe(self.path, _LOOK, self._values, become=self.become), self._parse)

    def desired(self) -> State:
        """The digest of the lines between the markers."""
        return {"block": _digest(f"{self.block}\n")} if self.block else {}

    def change(self, actual: State | None) -> Change:
        """Compare; a missing file, a link, damaged markers and a missing place are refused."""
        if not self.block:
            change = removal(self.address, actual)
        else:
            change = compare(self.address, self.desired(), actual)
            if actual is None and not self.create:
                words = f"{self.path} is missing; say create: true, or manage it with file"
                return replace(change, blocked=words)
        if actual is None or change.action is Action.NOOP:
            return change
        return replace(change, blocked=self._refused(actual))

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Rewrite the file with or without the block."""
        if change.action is Action.NOOP:
            return ()
        values = {**self._values, "mf_block": self.block}
        return (Run(edits.rewrite(self.path, _SET, values), become=self.become),)

    @property
    def _values(self) -> dict[str, str]:
        begin, end = self.markers
        return {"mf_begin": begin, "mf_end": end, **edits.placed(self.after, self.before)}

    def _refused(self, actual: State) -> str:
        if "type" in actual:
            return f"{self.path} is a symbolic link or no regular file; name the file itself"
        if "damage" in actual:
            return f"the markers of {self.name} in {self.path} are damaged ({actual['damage']}); mend them"
        pattern = self.after or self.before
        if self.block and pattern and actual["block"] is None and not actual["anchors"]:
            return f"no line of {self.path} matches {pattern!r}, where the new block is to be put"
        return ""

    def _parse(self, output: ProbeOutput) -> State | None:
        head, _, block = output.stdout.partition("\n")
        kind, *counts = head.split(" ")
        if output.exit == 0 and kind == "absent":
            return None
        if output.exit == 0 and kind == "other":
            return {"type": "other"}
        if output.exit != 0 or kind != "file" or len(counts) != 4 or not all(map(str.isdecimal, counts)):
            raise ValueError(f"{self.path}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        begins, ends, crossed, anchors = map(int, counts)
        if not self.block and not begins and not ends:
            return None
        found: dict[str, Value] = {"block": _digest(block) if begins else None}
        if begins != ends or begins > 1 or crossed:
            found["damage"] = f"{begins} begin, {ends} end{', crossed' if crossed else ''}"
        return {**found, "anchors": anchors} if self.block else found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
