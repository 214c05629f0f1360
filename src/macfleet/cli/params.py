"""Checks of options' values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import click

from macfleet.model.quantity import parse_seconds

R = TypeVar("R")


def wait_option(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--wait TIME``, in seconds; 0 unless said."""
    option = click.option(
        "--wait",
        default="0s",
        callback=_seconds,
        metavar="TIME",
        help="Time that another run on these nodes gets to finish; without it exit 6 at once.",
    )
    return option(command)


def resume_option(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--resume RUN``, empty where it is not said."""
    option = click.option(
        "--resume", metavar="RUN", callback=_run, help="Only the nodes that RUN did not finish."
    )
    return option(command)


def diff_option(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--diff``."""
    option = click.option(
        "--diff", is_flag=True, help="Also show what would change in the text of files; not of secret ones."
    )
    return option(command)


def time_option(name: str, help_: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Return what gives a command an option with a duration, in seconds; None where it is not said."""
    return click.option(name, callback=_seconds_or_none, metavar="TIME", help=help_)


def count_or_share(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Return a number from 1 or a share from 1% to 100% as it is; empty stays empty.

    Raises:
        click.BadParameter: anything else; exit 2.
    """
    if value and not re.fullmatch(r"[1-9][0-9]*|([1-9][0-9]?|100)%", value):
        raise click.BadParameter(f'"{value}" is neither a number from 1 nor a share such as 10%')
    return value


def _run(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    # What a shell made of an unset variable: without --resume the command begins anew, on every node.
    if value is not None and not value.strip():
        raise click.BadParameter("it names no run. See which broke off: macfleet run list")
    return value or ""


def _seconds_or_none(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    return None if value is None else _seconds(context, option, value)


def _seconds(context: click.Context, option: click.Parameter, value: str) -> float:
    try:
        return parse_seconds(value)
    except ValueError as error:
        typed = f"{context.command_path} {option.opts[0]} 10m"
        raise click.BadParameter(f"{error}.\nSuch as: {typed}") from error
