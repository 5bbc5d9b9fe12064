"""What a reader asks a report beyond what it always answers: a target score, and what an hour of training costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from jobs.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What was asked."""

    target: float | None = None
    """A score: how many rows for training does it take?"""
    dollars_per_hour: float | Mapping[str, float] | None = None
    """Of the device that trained, or of each kind of device."""


TargetOption = Annotated[
    str | None, typer.Option("--target", help="Score, such as 0.6 or 60%: says how many labelled rows it takes.")
]
PriceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dollars-per-hour", help="Price of the device that trained, such as 0.35; or cuda=0.35, and again for cpu."
    ),
]


def questions_from(target: str | None, prices: Sequence[str] | None) -> Questions:
    """Questions as they were typed.

    Args:
        target: a share, `0.6`, or per cent, `60%`.
        prices: one number, or `device=number` for each kind of device.
    Returns:
        the questions.
    Raises:
        UserError: a value that is none, with what would be one.
    """
    return Questions(target=None if target is None else _share(target), dollars_per_hour=_prices(prices or ()))


def _share(text: str) -> float:
    stripped = text.strip()
    is_percent = stripped.endswith("%")
    number = _number(stripped.removesuffix("%"))
    share = None if number is None else number / 100 if is_percent else number
    if share is None or not 0 < share <= 1:
        raise UserError(f"--target {text}: a score above 0 and up to 1, such as 0.6 or 60%")
    return share


def _prices(texts: Sequence[str]) -> float | dict[str, float] | None:
    if not texts:
        return None
    named: dict[str, float] = {}
    for text in texts:
        device, is_named, price = text.rpartition("=")
        number = _number(price)
        if number is None or number < 0 or (is_named and not device) or device in named:
            raise UserError(f"--dollars-per-hour {text}: a price such as 0.35, or one a device such as cuda=0.35")
        named[device] = number
    if "" in named and len(named) > 1:
        raise UserError("--dollars-per-hour: either one price, or a device with every price, such as cuda=0.35")
    return named[""] if "" in named else named


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
