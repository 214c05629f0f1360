"""The fleet's own settings: `macfleet.yml` at the root of the fleet folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from macfleet.documents import Border, Seconds, parse_yaml, validate
from macfleet.inventory.names import VARIABLE_RULE, is_variable_name
from macfleet.inventory.scanner import ScannerBorder, ScannerSettings, one_or_more
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import Files
from macfleet.model.quantity import show_seconds

FILE = "macfleet.yml"
MOST_FORKS = 512
FROM_ENVIRONMENT = ("fleet", "inventory", "state", "forks")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept, in seconds; at least `keep` runs stay whatever their age."""

    runs: float = 365 * 86400.0
    events: float = 30 * 86400.0
    keep: int = 20


@dataclass(frozen=True, slots=True)
class DeclaredVariable:
    """An extra inventory variable; it has a default only when `has_default`."""

    name: str
    description: str
    default: Json = None
    has_default: bool = False
    where: Location | None = None


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What `macfleet.yml` says.

    Attributes:
        root: absolute path of the fleet folder; relative paths of the inventory start here.
        inventory: inventory sources, relative to the root, later ones win.
        state: state URL, or a path relative to the root for the embedded store.
        forks: nodes worked on at once.
        variables: declared extra variables by name.
        scanner: None where no scanner is chosen.
        token_events: whether load tests keep when each token came.
        run_deadline: seconds after which a run that changes nodes is stopped; never without an end.
        origins: where each setting that the file gives stands.
    """

    root: str
    name: str
    inventory: tuple[str, ...] = ("inventory/hosts.yml",)
    state: str = ".macfleet/state.db"
    forks: int = 32
    retention: Retention = Retention()
    variables: Mapping[str, DeclaredVariable] = field(default_factory=dict)
    scanner: ScannerSettings | None = None
    token_events: bool = True
    run_deadline: float = 86400.0
    origins: Mapping[str, Location] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """One effective setting and what decided it: a flag, an environment variable, a file line, or nothing."""

    name: str
    value: str
    origin: str


def load_settings(files: Files, root: str) -> FleetSettings:
    """Read `macfleet.yml` at the top of `files`; `root` is the absolute path it stands for.

    Raises:
        MacfleetError: E0200 there is no such file; every unknown key and wrong value of it.
    """
    try:
        text = files.read(FILE)
    except FileNotFoundError as error:
        raise MacfleetError(_missing(root)) from error
    document = parse_yaml(text, FILE)
    parsed = validate(document, SettingsFile, code="E0204", kind="fleet settings")
    value = document.value if isinstance(document.value, Mapping) else {}
    variables = {
        name: DeclaredVariable(
            name,
            declared.description,
            declared.default,
            has_default="default" in declared.model_fields_set,
            where=document.at("variables", name),
        )
        for name, declared in sorted(parsed.variables.items())
    }
    return FleetSettings(
        root=root,
        name=parsed.name,
        inventory=parsed.inventory,
        state=parsed.state,
        forks=parsed.forks,
        retention=Retention(parsed.retention.runs, parsed.retention.events, parsed.retention.keep),
        variables=variables,
        scanner=parsed.scanner.settings(document.at("scanner")) if parsed.scanner else None,
        token_events=parsed.token_events,
        run_deadline=parsed.run_deadline,
        origins={name: document.at(name) for name in value},
    )


def with_environment(settings: FleetSettings, environment: Mapping[str, str]) -> FleetSettings:
    """Return the settings with ``MACFLEET_INVENTORY``, ``MACFLEET_STATE`` and ``MACFLEET_FORKS`` applied.

    Several inventory sources are separated by commas.

    Raises:
        MacfleetError: E0204 MACFLEET_FORKS is not a number from 1 to 512.
    """
    inventory = [part.strip() for part in environment.get("MACFLEET_INVENTORY", "").split(",")]
    forks = environment.get("MACFLEET_FORKS", "") or str(settings.forks)
    if not (forks.isdigit() and 1 <= int(forks) <= MOST_FORKS):
        raise MacfleetError(
            Diagnostic(
                "E0204",
                f"MACFLEET_FORKS must be a number from 1 to {MOST_FORKS}, not {forks!r}",
                mend="Unset it, or set it to a number such as 32.",
            )
        )
    return replace(
        settings,
        inventory=tuple(part for part in inventory if part) or settings.inventory,
        state=environment.get("MACFLEET_STATE") or settings.state,
        forks=int(forks),
    )


def trace_settings(
    settings: FleetSettings, environment: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[SettingOrigin, ...]:
    """Return each effective setting with its origin: flag > environment > file > default, sorted by name.

    `settings` are those of `with_environment`.
    `flags` holds only what was typed, by setting name; `environment` is read for ``MACFLEET_<NAME>``.
    """
    shown = {
        "fleet": settings.root,
        "name": settings.name,
        "inventory": ", ".join(settings.inventory),
        "state": settings.state,
        "forks": str(settings.forks),
        "retention": f"runs {show_seconds(settings.retention.runs)}, at least {settings.retention.keep}; "
        f"events {show_seconds(settings.retention.events)}",
        "run_deadline": show_seconds(settings.run_deadline),
        "token_events": "kept" if settings.token_events else "not kept",
    }
    return tuple(_trace(name, shown[name], settings, environment, flags) for name in sorted(shown))


def _trace(
    name: str,
    value: str,
    settings: FleetSettings,
    environment: Mapping[str, str],
    flags: Mapping[str, str],
) -> SettingOrigin:
    variable = f"MACFLEET_{name.upper()}"
    if name in flags:
        return SettingOrigin(name, flags[name], f"--{name}")
    if name in FROM_ENVIRONMENT and environment.get(variable):
        return SettingOrigin(name, environment[variable], f"${variable}")
    if name in settings.origins:
        return SettingOrigin(name, value, str(settings.origins[name]))
    return SettingOrigin(name, value, FILE if name == "fleet" else "default")


def _missing(root: str) -> Diagnostic:
    return Diagnostic(
        "E0200",
        f"{root} is not a fleet folder: it has no {FILE}",
        why="The inventory, playbooks, contract and evidence of a fleet live in one folder with this file.",
        mend="Type `macfleet init DIR` for a new fleet folder, or name one with --fleet DIR.",
    )


class RetentionBorder(Border):
    """How long runs and events are kept."""

    runs: Seconds = Field(default=Retention().runs, description="age after which runs may be pruned")
    events: Seconds = Field(
        default=Retention().events,
        description="age after which a run's token events are dropped, the rest of it kept",
    )
    keep: int = Field(default=Retention().keep, ge=1, description="runs that stay whatever their age")


class VariableBorder(Border):
    """An extra variable that the inventory may set."""

    description: str = Field(description="what the variable means, for people")
    default: Any = Field(default=None, description="value where the inventory sets none")


class SettingsFile(Border):
    """`macfleet.yml`: the file that makes a folder a fleet folder."""

    name: str = Field(min_length=1, max_length=63, description="name of the fleet, shown in reports")
    inventory: Annotated[tuple[str, ...], BeforeValidator(one_or_more)] = Field(
        default=("inventory/hosts.yml",),
        min_length=1,
        description="inventory source or sources; later ones win",
    )
    state: str = Field(
        default=".macfleet/state.db", min_length=1, description="state URL, or a path of this folder"
    )
    forks: int = Field(default=32, ge=1, le=MOST_FORKS, description="nodes worked on at once")
    retention: RetentionBorder = Field(default=RetentionBorder(), description="how long things are kept")
    token_events: bool = Field(
        default=True, description="whether load tests keep when each token came, about 4 bytes a token"
    )
    run_deadline: Seconds = Field(
        default=86400.0, gt=0, le=30 * 86400.0, description="after which a run is stopped, at most 30 days"
    )
    variables: dict[str, VariableBorder] = Field(
        default_factory=dict, description="extra variables the inventory may set"
    )
    scanner: ScannerBorder | None = Field(
        default=None, description="vulnerability scanner of `macfleet image scan`"
    )

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", value):
            raise ValueError("must be letters, digits, spaces, dots, hyphens and underscores")
        return value

    @field_validator("variables")
    @classmethod
    def _variable_names(cls, value: dict[str, VariableBorder]) -> dict[str, VariableBorder]:
        wrong = [name for name in value if not is_variable_name(name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} cannot be a variable. {VARIABLE_RULE}")
        return value
