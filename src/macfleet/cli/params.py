"""Checks of options' values."""

from __future__ import annotations

import re

import click


def count_or_share(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Return a number from 1 or a share from 1% to 100% as it is; empty stays empty.

    Raises:
        click.BadParameter: anything else; exit 2.
    """
    if value and not re.fullmatch(r"[1-9][0-9]*|([1-9][0-9]?|100)%", value):
        raise click.BadParameter(f'"{value}" is neither a number from 1 nor a share such as 10%')
    return value
