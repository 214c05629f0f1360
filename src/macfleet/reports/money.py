"""Amounts as people read them, each with its own currency."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from macfleet.analysis.cost import Price

_SIGNS: Mapping[str, str] = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_MOST_DIGITS = 4


def price(amount: Price) -> str:
    """Return an amount with its interval: ``$0.11 [0.10, 0.12]``."""
    digits = _digits(amount.value)
    if amount.low is None or amount.high is None:
        return f"{sign(amount.currency)}{amount.value:,.{digits}f}"
    # An interval whose bounds look the same would claim that there is none.
    while digits < _MOST_DIGITS and f"{amount.low:.{digits}f}" == f"{amount.high:.{digits}f}":
        digits += 1
    shown = f"{sign(amount.currency)}{amount.value:,.{digits}f}"
    return f"{shown} [{amount.low:,.{digits}f}, {amount.high:,.{digits}f}]"


def plain(value: Decimal, currency: str) -> str:
    """Return an amount without an interval: ``€0.49``."""
    return price(Price(value, currency))


def sign(currency: str) -> str:
    """Return a currency's sign, or its code with a blank."""
    return _SIGNS.get(currency, f"{currency} ")


def share(value: Decimal) -> str:
    """Return a share in percent: ``35 %``."""
    return f"{(100 * value).normalize():f} %"


def _digits(value: Decimal) -> int:
    """Two digits after the point, more for what would be nothing."""
    return 0 if value >= 1000 else 2 if value >= Decimal("0.1") or not value else 3 - value.adjusted() - 2
