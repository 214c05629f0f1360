"""What a task may say about a resource, and how that becomes one."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator

from macfleet.documents import Border
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Node
from macfleet.model.resource import Resource
from macfleet.model.secret import Secret

_MODE = re.compile(r"^0?[0-7]{3}\Z|^[0-7]{4}\Z")
_OWNER = re.compile(r"^[A-Za-z_][A-Za-z0-9._-]*(?::[A-Za-z_][A-Za-z0-9._-]*)?\Z")
_PROFILE = re.compile(r"^[a-z0-9][a-z0-9-]{0,30}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_XML = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]")  # a carriage return would come back as a line break


def _no_secrets(reference: str) -> Secret:
    _ = reference  # it may be the secret itself, typed in the wrong place
    raise ValueError("there is nobody here to read secrets")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a resource may know of the node and of the other resources of its stage.

    Attributes:
        needs: addresses that must be settled first, explicit and inferred.
        images: what each locked image name means on the node's platform.
        files: contents of the files the stage writes by path; a secret one's is its reference.
        task: name of the task, for resources that have no other name.
        secret: reads a secret reference (raises MacfleetError).
    """

    node: Node
    needs: tuple[str, ...] = ()
    images: Mapping[str, ResolvedImage] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    task: str = ""
    secret: Callable[[str], Secret] = _no_secrets


class Params(Border):
    """Base of the parameters of every resource kind.

    `provides` and `uses` hold absolute paths or tokens such as ``brew:colima``. A resource needs whatever
    provides something it uses; a path also needs the nearest resource that provides a folder above it.
    """

    kind: ClassVar[str]
    shell: ClassVar[frozenset[str]] = frozenset()
    """Fields that are shell text: values put into them by a template are quoted."""

    @abstractmethod
    def address(self, task: str) -> str:
        """Return the unique address; `task` is the task's name."""

    def provides(self) -> tuple[str, ...]:
        """Return what other resources may rely on once this one is settled."""
        return ()

    def uses(self) -> tuple[str, ...]:
        """Return what this resource relies on."""
        return ()

    def decides(self) -> str:
        """Return the path about which it alone says what stands there; empty when there is none."""
        return ""

    @abstractmethod
    def build(self, around: Surroundings) -> Resource:
        """Return the resource (raises ValueError when the surroundings do not allow it)."""


def _four_digits(value: object) -> object:
    if isinstance(value, int):
        # pydantic turns a ValueError, not a TypeError, into a finding
        raise ValueError('write the mode in quotes, such as "0644": YAML reads a bare 0644 as a number')  # noqa: TRY004
    if isinstance(value, str) and not _MODE.match(value):
        raise ValueError('a mode is three or four octal digits, such as "0644"')
    return value.rjust(4, "0") if isinstance(value, str) else value


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path; ~ and relative paths are not expanded")
    if _CONTROL.search(value):
        raise ValueError(f"{value!r} holds a line break or another control character; no path may")
    if ".." in value.split("/"):
        raise ValueError(f"{value!r} holds .., which hides where it leads")
    return normpath(value).replace("//", "/", 1) if value != "/" else value


def plist_text(value: str) -> str:
    """Return the text (raises ValueError when a property list, which is XML, would not give it back)."""
    if _NO_XML.search(value):
        raise ValueError(f"{value!r} holds a control character, which a property list cannot carry")
    return value


def _owner(value: str) -> str:
    if value and not _OWNER.match(value):
        raise ValueError(f"{value!r} is not a user or user:group")
    return value


def _profile(value: str) -> str:
    if not _PROFILE.match(value):
        raise ValueError(f"{value!r} is not a profile: lowercase letters, digits and -")
    return value


Presence = Literal["present", "absent"]
Mode = Annotated[str, BeforeValidator(_four_digits)]
Profile = Annotated[str, AfterValidator(_profile)]
PlistText = Annotated[str, AfterValidator(plist_text)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Owner = Annotated[str, AfterValidator(_owner)]
