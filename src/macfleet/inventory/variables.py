"""The variables macfleet itself reads from the inventory: their types, limits and meaning."""

from __future__ import annotations

import re
import shlex
from ipaddress import IPv6Address
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from macfleet.documents import Border, Size
from macfleet.inventory.names import is_ipv6
from macfleet.inventory.registries import NodeRegistries
from macfleet.model.json import Json
from macfleet.model.node import Arm, Ownership
from macfleet.model.processes import MOST_PROCESSES

# Ansible's own variables that change nothing here; a file that Ansible reads stays readable.
IGNORED = frozenset(
    {
        "ansible_become",
        "ansible_become_method",
        "ansible_become_user",
        "ansible_connection",
        "ansible_group_priority",
        "ansible_pipelining",
        "ansible_python_interpreter",
        "ansible_remote_tmp",
        "ansible_shell_executable",
        "ansible_shell_type",
        "ansible_ssh_pipelining",
    }
)
PASSWORDS = frozenset(
    {
        "ansible_become_pass",
        "ansible_become_password",
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_password",
        "ansible_sudo_pass",
    }
)
MAGIC = frozenset({"inventory_hostname", "inventory_hostname_short", "group_names"})
DEFAULTS: dict[str, Json] = {
    "ansible_host": "{{ inventory_hostname }}",
    "ansible_port": 22,
    "arms": [],
    "delivery": "pull",
    "hardware": "{{ inventory_hostname }}",
    "min_ready": 1,
    "ownership": "owned",
    "platform": "linux/arm64",
    "trust": "trusted",
}

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_HOP = r"(?:[A-Za-z_][\w.-]*@)?(?:[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::\d+)?"
_JUMP = re.compile(rf"{_HOP}(?:,{_HOP})*", re.ASCII)
_PLATFORM = re.compile(r"linux/(?:arm64(?:/v8)?|amd64)")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text; write it in quotes, {shlex.quote(str(value))}")  # noqa: TRY004 (pydantic takes ValueError)
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not (
        isinstance(value, int) or (isinstance(value, str) and value.isdigit())
    ):
        raise ValueError("must be a whole number")
    return int(value)


def _truth(value: Any) -> bool:
    """An INI file has no booleans: there it is a word."""
    found = {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def _hardware(value: str) -> str:
    """The default is the node's name, which may be an IPv6 address."""
    return value if is_ipv6(value) else _label(value)


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(
            "must be one word of letters, digits, dots, hyphens and underscores: it names a group"
        )
    return value


def _host(value: str) -> str:
    if _HOST.fullmatch(value):
        return value
    try:
        return str(IPv6Address(value.removeprefix("[").removesuffix("]")))
    except ValueError as error:
        raise ValueError("must be a host name or an address; a port belongs into ansible_port") from error


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("must be a login name")
    return value


def _platform(value: str) -> str:
    if not _PLATFORM.fullmatch(value):
        raise ValueError("must be linux/arm64 or linux/amd64: it says what the node's containers are")
    return value


def _fingerprint(value: str) -> str:
    if not _FINGERPRINT.fullmatch(value):
        raise ValueError(
            "must be a fingerprint such as SHA256: and 43 characters, as `ssh-keygen -lf` prints it"
        )
    return value.rstrip("=")


def _absolute(value: str) -> str:
    parts = value.split("/")
    if not value.startswith("/") or value == "/" or any(part in ("", ".", "..") for part in parts[1:]):
        raise ValueError("must be an absolute path of the node without . or .. or a final slash")
    return value


def _arms(value: Any) -> Any:
    known = ", ".join(Arm)
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list such as [bare, container]; known arms: {known}")  # noqa: TRY004 (pydantic takes ValueError)
    for each in value:
        if each not in tuple(Arm):
            raise ValueError(f"{each!r} is no arm; known arms: {known}")
    if len(set(value)) < len(value):
        raise ValueError("names an arm twice")
    return value


def _ownership(value: Any) -> Any:
    if value not in tuple(Ownership):
        raise ValueError("must be owned or rented")
    return value


def _jump(value: str) -> str:
    """Return the ProxyJump specification of ssh arguments; nothing else may stand in them."""
    words = shlex.split(value)
    jumps: list[str] = []
    while words:
        word = words.pop(0)
        if word in ("-J", "-o") and words:
            word += words.pop(0)
        option = re.fullmatch(r"-J(.+)|-o\s*ProxyJump[=\s]\s*(.+)", word, re.IGNORECASE)
        if option is None:
            raise ValueError(
                f"{word!r} is not read here; -J HOST and -o ProxyJump=HOST are, everything else belongs "
                "into your ssh_config"
            )
        jumps.append(option.group(1) or option.group(2))
    if len(jumps) > 1 or any(not _JUMP.fullmatch(jump) for jump in jumps):
        raise ValueError("must name one ProxyJump such as -J ops@bastion.example")
    return jumps[0] if jumps else ""


Text = Annotated[str, BeforeValidator(_text)]
Label = Annotated[Text, AfterValidator(_label)]
Whole = Annotated[int, BeforeValidator(_whole)]
Truth = Annotated[bool, BeforeValidator(_truth)]
AbsolutePath = Annotated[Text, AfterValidator(_absolute)]


class RootsBorder(Border):
    """Directories of the node for weights, caches and logs; each is a bind mount of its own."""

    weights: AbsolutePath = Field(description="model weights, mounted read-only")
    cache: AbsolutePath = Field(description="caches an engine may lose")
    logs: AbsolutePath = Field(description="logs of engines and of Colima")

    @model_validator(mode="after")
    def _apart(self) -> RootsBorder:
        paths = (self.weights, self.cache, self.logs)
        for one in paths:
            if sum(f"{other}/".startswith(f"{one}/") for other in paths) > 1:
                raise ValueError(f"must lie apart: {one} holds another of them")
        return self


class ColimaBorder(Border):
    """What the node's Colima VM gets."""

    cpus: Whole = Field(ge=1, le=64, description="CPUs of the VM")
    memory: Size = Field(ge=2**29, description="memory of the VM, such as 12GiB")
    disk: Size = Field(ge=2**30, description="disk of the VM, such as 100GiB; it can only grow")


class NodeVariables(Border):
    """Every variable of a node that macfleet reads itself."""

    ansible_host: Annotated[Text, AfterValidator(_host)] = Field(description="name or address to connect to")
    ansible_port: Whole = Field(ge=1, le=65535, description="port of the SSH server")
    ansible_user: Annotated[Text, AfterValidator(_user)] | None = Field(
        default=None, description="login name; ssh_config decides when unset"
    )
    ansible_ssh_private_key_file: Text | None = Field(
        default=None, description="private key; relative paths start at the fleet folder"
    )
    ansible_private_key_file: Text | None = Field(default=None, description="older name of the same")
    ansible_ssh_common_args: Annotated[Text, AfterValidator(_jump)] | None = Field(
        default=None, description="-J HOST or -o ProxyJump=HOST; HOST is none where ssh_config must not jump"
    )
    host_key: Annotated[Text, AfterValidator(_fingerprint)] | None = Field(
        default=None, description="pinned SHA256 fingerprint of the node's host key"
    )
    platform: Annotated[Text, AfterValidator(_platform)] = Field(
        description="platform the node's containers must have"
    )
    chip: Label | None = Field(default=None, description="Apple chip, such as m4 or m4-pro")
    hardware_model: Text | None = Field(default=None, description="marketing name, for reports")
    memory: Size = Field(default=0, description="unified memory, such as 24GiB")
    ownership: Annotated[Ownership, BeforeValidator(_ownership)] = Field(description="owned or rented")
    offer: Label | None = Field(default=None, description="id of a price in contract/offers.yml")
    provider: Label | None = Field(default=None, description="who rents the Mac out")
    site: Label | None = Field(default=None, description="where the Mac stands")
    environment: Label | None = Field(default=None, description="such as staging or production")
    pool: Label | None = Field(default=None, description="pool the node serves in")
    role: Label | None = Field(default=None, description="such as edge; empty for a serving Mac")
    arms: Annotated[tuple[Arm, ...], BeforeValidator(_arms)] = Field(description="arms measured on the node")
    hardware: Annotated[Text, AfterValidator(_hardware)] = Field(
        description="nodes with one value share one machine"
    )
    min_ready: Whole = Field(ge=0, description="nodes of the pool that must stay in service")
    trust: Label = Field(
        description="images that may go to the node: `trusted` ones, `flagged` or also `untrusted` ones"
    )
    delivery: Annotated[Text, Field(pattern="^(pull|push)$")] = Field(
        description="images are pulled from a registry, or pushed over SSH"
    )
    registries: NodeRegistries = Field(
        default_factory=dict, description="logins and mirrors of the registries the node pulls from, by host"
    )
    relay: Truth = Field(
        default=False, description="pushed layers go from node to node within the site; needs site"
    )
    site_address: Annotated[Text, AfterValidator(_host)] | None = Field(
        default=None, description="name or address on the site's network, where it is not ansible_host"
    )
    client_processes: Whole = Field(
        default=1,
        ge=1,
        le=MOST_PROCESSES,
        description="processes of the load client; a pilot may ask for more",
    )
    roots: RootsBorder | None = Field(default=None, description="directories of the node")
    colima: ColimaBorder | None = Field(default=None, description="size of the Colima VM")


KNOWN = frozenset(NodeVariables.model_fields)
