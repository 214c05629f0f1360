"""What nodes cost: ``contract/offers.yml`` at the border, prices as decimals inside."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from macfleet.documents import Border, Document, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.ports import Files
from macfleet.model.quantity import parse_seconds, parse_share

FILE = "contract/offers.yml"
HOURS_A_MONTH = Decimal(730)
"""365 days of 24 hours over 12 months."""
STALE_DAYS = 90
"""Age from which a price is flagged: list prices and plans change about once a quarter."""
_UNIT_HOURS: Mapping[str, Decimal] = {
    "hour": Decimal(1),
    "day": Decimal(24),
    "week": Decimal(168),
    "month": HOURS_A_MONTH,
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A price of a node, to rent it or to own it. Money is in `currency`, shares are between 0 and 1.

    Attributes:
        kind: ``rent`` or ``own``.
        price: for one `unit`; of an owned node, what was paid once.
        min_commit: hours the provider bills at least.
        bills_when_stopped: whether a stopped node costs the same.
        amortise: months over which an owned node is written off; residual: what it is worth then.
        idle, load: watts; kwh: price of a kilowatt hour.
        duty: share of the time under load; None means the utilisation a cost is stated for.
        spare: share of the price kept as spares; ops_hours: hours of work a month at `ops_rate`.
    """

    id: str
    kind: str
    price: Decimal
    currency: str
    unit: str
    as_of: dt.date
    confidence: str
    source: str
    provider: str = ""
    setup_fee: Decimal = Decimal(0)
    min_commit: Decimal = Decimal(0)
    bills_when_stopped: bool = True
    amortise: int = 0
    residual: Decimal = Decimal(0)
    idle: Decimal = Decimal(0)
    load: Decimal = Decimal(0)
    duty: Decimal | None = None
    kwh: Decimal = Decimal(0)
    colo_month: Decimal = Decimal(0)
    spare: Decimal = Decimal(0)
    ops_hours: Decimal = Decimal(0)
    ops_rate: Decimal = Decimal(0)
    where: Location | None = field(default=None, compare=False)

    def age(self, today: dt.date) -> int:
        """Days since the price was true."""
        return (today - self.as_of).days

    def stale(self, today: dt.date) -> bool:
        """Whether the price is older than 90 days."""
        return self.age(today) > STALE_DAYS


def month_cost(offer: Offer, utilisation: Decimal) -> Decimal:
    """Return what a node costs in a month of 730 hours, whether it is busy or not.

    An owned node: capex·(1 − residual)/months + power + colocation + spares·capex/months + work.
    """
    if offer.kind == "rent":
        return offer.price * HOURS_A_MONTH / _UNIT_HOURS[offer.unit]
    return offer.price * (1 - offer.residual) / offer.amortise + running_month(offer, utilisation)


def running_month(offer: Offer, utilisation: Decimal) -> Decimal:
    """Return what an owned node costs in a month beside its price.

    Power is kwh·0.73·(idle + duty·(load − idle)): 730 hours a month, watts in thousands.
    """
    duty = utilisation if offer.duty is None else offer.duty
    power = offer.kwh * HOURS_A_MONTH / 1000 * (offer.idle + duty * (offer.load - offer.idle))
    spares = offer.spare * offer.price / offer.amortise
    return power + offer.colo_month + spares + offer.ops_hours * offer.ops_rate


def load_offers(files: Files, path: str = FILE) -> Mapping[str, Offer]:
    """Read the offers by id; none where there is no file.

    Raises:
        MacfleetError: every problem of the file: E0101 to E0104, E1021 an id that stands twice,
            E1022 a kind that is neither rent nor own.
    """
    if not files.exists(path):
        return {}
    return parse_offers(parse_yaml(files.read(path), path))


def parse_offers(document: Document) -> Mapping[str, Offer]:
    """Return the offers of a parsed file by id, in its order (raises as `load_offers`)."""
    rows = validate(document, _FileBorder, kind="offers file").offers
    found: dict[str, Offer] = {}
    problems: list[Diagnostic] = []
    for index, row in enumerate(rows):
        try:
            offer = _read(document, index, row)
        except MacfleetError as error:
            problems.extend(error.diagnostics)
            continue
        if offer.id in found:
            why = f"The other one stands at {found[offer.id].where}."
            problems.append(
                document.diagnose(
                    "E1021", f"offer {offer.id} stands twice", "offers", index, "id", why=why, on_value=True
                )
            )
        found[offer.id] = offer
    if problems:
        raise MacfleetError(problems)
    return found


def _read(document: Document, index: int, row: Mapping[str, object]) -> Offer:
    where = document.at("offers", index, "id")
    place: Sequence[str | int] = ("offers", index)
    name = str(row.get("id", index + 1))
    if row.get("kind") == "rent":
        return replace(_rent(validate(document, _RentBorder, *place, kind=f"offer {name}")), where=where)
    if row.get("kind") == "own":
        return replace(_own(validate(document, _OwnBorder, *place, kind=f"offer {name}")), where=where)
    raise MacfleetError(
        document.diagnose(
            "E1022", f'offer {name}: kind must be "rent" or "own"', *place, "kind", on_value="kind" in row
        )
    )


def _rent(border: _RentBorder) -> Offer:
    return replace(
        _common(border, "rent", border.unit),
        setup_fee=border.setup_fee,
        min_commit=border.min_commit,
        bills_when_stopped=border.bills_when_stopped,
    )


def _own(border: _OwnBorder) -> Offer:
    return replace(
        _common(border, "own", border.unit),
        amortise=border.amortise,
        residual=border.residual,
        idle=border.idle,
        load=border.load,
        duty=border.duty,
        kwh=border.kwh,
        colo_month=border.colo_month,
        spare=border.spare,
        ops_hours=border.ops_hours,
        ops_rate=border.ops_rate,
    )


def _common(border: _OfferBorder, kind: str, unit: str) -> Offer:
    return Offer(
        id=border.id,
        kind=kind,
        price=border.price,
        currency=border.currency,
        unit=unit,
        as_of=border.as_of,
        confidence=border.confidence,
        source=border.source,
        provider=border.provider,
    )


def _money(value: object) -> Decimal:
    shown = str(value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", shown):
            return Decimal(shown)
        raise ValueError('an amount such as "0.49" or "999" is wanted, without currency')
    raise ValueError(f'money is written as text, so that no digit is lost: "{shown}"')


def _share(value: object) -> Decimal:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return Decimal(str(round(parse_share(value), 6)))
    raise ValueError("a share such as 35% is wanted")


def _watts(value: object) -> Decimal:
    found = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)\s*W", str(value))
    if found is None:
        raise ValueError("power such as 45W is wanted")
    return Decimal(found[1])


def _months(value: object) -> int:
    found = re.fullmatch(r"(\d{1,3})\s*mo", str(value))
    if found is None or not int(found[1]):
        raise ValueError("months such as 36mo are wanted")
    return int(found[1])


def _hours(value: object) -> Decimal:
    return Decimal(round(parse_seconds(str(value)))) / 3600


_Money = Annotated[Decimal, BeforeValidator(_money)]
_Share = Annotated[Decimal, BeforeValidator(_share), Field(ge=0, le=1)]
_Watts = Annotated[Decimal, BeforeValidator(_watts)]


class _FileBorder(Border):
    offers: list[dict[str, object]] = Field(description="prices, each with an id that nodes name")


class _OfferBorder(Border):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="what nodes name as their offer")
    provider: str = Field(default="", description="who rents it out or sold it")
    sku: str = Field(default="", description="the provider's name for it")
    chip: str = Field(default="", description="such as m4-pro")
    memory: str = Field(default="", description="unified memory, such as 64GiB")
    disk: str = Field(default="", description="storage, such as 2TB")
    region: str = Field(default="", description="where the price holds")
    price: _Money = Field(description="amount for one unit, as text")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code, such as EUR")
    as_of: dt.date = Field(description="day on which the price was true")
    confidence: Literal["low", "medium", "high"] = Field(description="how sure you are of it")
    source: str = Field(min_length=1, description="where the price is from")


class _RentBorder(_OfferBorder):
    kind: Literal["rent"]
    unit: Literal["hour", "day", "week", "month"] = Field(description="what the price is for")
    min_commit: Annotated[Decimal, BeforeValidator(_hours)] = Field(
        default=Decimal(0), description="least time that is billed, such as 24h"
    )
    setup_fee: _Money = Field(default=Decimal(0), description="paid once")
    bills_when_stopped: bool = Field(default=True, description="whether a stopped node costs the same")
    egress_included: str = Field(default="", description="traffic in the price, such as 1TB")


class _OwnBorder(_OfferBorder):
    kind: Literal["own"]
    unit: Literal["once"] = Field(default="once", description="a node is paid once")
    amortise: Annotated[int, BeforeValidator(_months)] = Field(description="written off over, such as 36mo")
    residual: _Share = Field(default=Decimal(0), description="share of the price it is worth then")
    idle: _Watts = Field(default=Decimal(0), description="power at rest, such as 6W")
    load: _Watts = Field(default=Decimal(0), description="power under load, such as 45W")
    duty: _Share | None = Field(default=None, description="share of the time under load")
    kwh: _Money = Field(default=Decimal(0), description="price of a kilowatt hour")
    colo_month: _Money = Field(default=Decimal(0), description="place, network and cooling a month")
    spare: _Share = Field(default=Decimal(0), description="share of the price kept as spares")
    ops_hours: Annotated[Decimal, BeforeValidator(_money)] = Field(
        default=Decimal(0), alias="ops_hours_month", description="hours of work a month"
    )
    ops_rate: _Money = Field(default=Decimal(0), description="price of an hour of work")
