"""A preference of a Mac, typed, as ``defaults`` keeps it."""

from __future__ import annotations

import json
import math
import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal
from xml.parsers.expat import ExpatError

from pydantic import Field, JsonValue, field_validator, model_validator

from macfleet.model.json import Json
from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, compare, removal
from macfleet.model.shell import words
from macfleet.resources import ownership
from macfleet.resources.params import Params, Presence, Surroundings, plist_text

_DOMAIN = re.compile(r"^(?:NSGlobalDomain|[A-Za-z0-9][A-Za-z0-9._-]*|/[^\n\0]+)\Z")
_Kind = Literal["bool", "int", "float", "string", "array", "dict"]
_FLAGS = {"bool": "-bool", "int": "-int", "string": "-string"}
_BODY = re.compile(rb"<plist[^>]*>(.*)</plist>", re.DOTALL)


class UserDefaultParams(Params):
    """A preference in a domain of ``defaults``; a program sees it when it reads its preferences again.

    What root writes belongs to the whole Mac, so with become the domain is a path such as
    /Library/Preferences/com.apple.example.
    """

    kind: ClassVar[str] = "user_default"

    domain: str = Field(description="Domain such as com.apple.dock, NSGlobalDomain, or an absolute path.")
    key: str = Field(description="Key in the domain.")
    value: JsonValue = Field(
        None, description="true, 1, 1.5, text, a list or a mapping; null is no value. Needed unless absent."
    )
    type: _Kind | None = Field(None, description="The value's type, where YAML alone would say another.")
    host: Literal["any", "current"] = Field("any", description="current keeps it for this Mac alone.")
    become: bool = Field(False, description="Act as root through sudo -n.")
    state: Presence = Field("present", description="absent deletes the key.")

    @field_validator("domain")
    @classmethod
    def _known(cls, value: str) -> str:
        if not _DOMAIN.match(value):
            raise ValueError(f"{value!r} is not a domain: letters, digits, . _ and -, or an absolute path")
        return value.removesuffix(".plist") if value.startswith("/") else value

    @field_validator("key")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not value or value.startswith("-") or any(character in value for character in "\0\n\r"):
            raise ValueError(f"{value!r} is not a key: one line that does not begin with -")
        return value

    @model_validator(mode="after")
    def _complete(self) -> UserDefaultParams:
        if self.state == "present":
            if self.value is None:
                raise ValueError("value: is missing")
            _refuse_nothing(self.value)
            self.typed()
        if self.become and not self.domain.startswith("/"):
            raise ValueError(f"root's {self.domain} is nobody's: write /Library/Preferences/{self.domain}")
        return self

    def typed(self) -> Json:
        """Return the value in the type that is asked for (raises ValueError when it is another)."""
        found = _typed(self.value)[0]
        if self.type == "float" and found == "int":
            return float(str(self.value))
        if self.type not in {None, found}:
            raise ValueError(f"the value is {found}, not {self.type}")
        return self.value

    def address(self, task: str) -> str:  # noqa: ARG002  (domain and key name it)
        """Return ``user_default.``, the domain and the key."""
        host = "@current" if self.host == "current" else ""
        return f"user_default.{self.domain}{host}:{self.key}"

    def uses(self) -> tuple[str, ...]:
        """Return the file of a domain that is a path."""
        return (f"{self.domain}.plist",) if self.domain.startswith("/") else ()

    def build(self, around: Surroundings) -> UserDefault:
        """Return the preference."""
        value = self.typed() if self.state == "present" else None
        return UserDefault(self.domain, self.key, value, self.host == "current", self.become, around.needs)


@dataclass(frozen=True, slots=True)
class UserDefault:
    """A preference; a value of None means that the key must not be there."""

    domain: str
    key: str
    value: Json
    current_host: bool = False
    become: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "user_default"

    @property
    def address(self) -> str:
        """``user_default.``, the domain and the key."""
        return f"user_default.{self.domain}{'@current' if self.current_host else ''}:{self.key}"

    def probe(self) -> Probe:
        """Read the whole domain as a property list: only there the types are told."""
        return Probe(ownership.as_root(self._defaults("export", "-"), become=self.become), self._parse)

    def desired(self) -> State:
        """Type and value, the value as JSON."""
        return {} if self.value is None else _state(self.value)

    def change(self, actual: State | None) -> Change:
        """Compare."""
        if self.value is None:
            return removal(self.address, actual)
        return compare(self.address, self.desired(), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write or delete the key."""
        if change.action is Action.NOOP:
            return ()
        if self.value is None:
            return (Run(self._defaults("delete", self.key), become=self.become),)
        return (Run(self._defaults("write", self.key, *_arguments(self.value)), become=self.become),)

    def _defaults(self, verb: str, *rest: str) -> str:
        host = ("-currentHost",) if self.current_host else ()
        return words(["defaults", *host, verb, self.domain, *rest])

    def _parse(self, output: ProbeOutput) -> State | None:
        if output.exit != 0:
            if "does not exist" in output.stderr:
                return None
            raise ValueError(f"{self.domain}: {output.stderr.strip() or 'defaults export failed'}")
        try:
            found = plistlib.loads(output.stdout.encode())
        except (ExpatError, ValueError, AttributeError, TypeError, LookupError) as error:
            raise ValueError(f"defaults export {self.domain} printed no property list: {error}") from error
        if not isinstance(found, Mapping):
            raise ValueError(f"defaults export {self.domain} printed no dictionary")  # noqa: TRY004  (parsers raise ValueError)
        return _state(found[self.key]) if self.key in found else None


def _state(value: object) -> State:
    kind, text = _typed(value)
    return {"type": kind, "value": text}


def _typed(value: object) -> tuple[str, str]:
    """Return a value's type by the name of ``defaults`` and the value as text with sorted keys."""
    names = {bool: "bool", int: "int", float: "float", str: "string", bytes: "data", list: "array"}
    kind = names.get(type(value), "dict" if isinstance(value, Mapping) else "date")
    return kind, json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _arguments(value: Json) -> tuple[str, ...]:
    """Return how ``defaults write`` is told a value: typed words, and XML for what words cannot hold.

    ``-float`` would store single precision, and items of ``-array`` are text.
    """
    kind, text = _typed(value)
    if kind in _FLAGS:
        return _FLAGS[kind], value if isinstance(value, str) else text
    body = _BODY.search(plistlib.dumps(json.loads(text), sort_keys=True))
    return (body.group(1).decode().strip() if body else "",)


def _refuse_nothing(value: JsonValue) -> None:
    """Raise ValueError for what a property list cannot hold or would give back otherwise."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"a property list cannot hold {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} has more than 64 bits, which is what a property list counts with")
    for each in (value, *(value if isinstance(value, dict) else ())):
        if isinstance(each, str):
            plist_text(each)
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    for each in inner:
        _refuse_nothing(each)
