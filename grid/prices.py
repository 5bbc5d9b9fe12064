"""Prices of a config: what packs cost an hour, and how long a budget lasts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from grid.plan import Plan, PlannedPack
from jobs.errors import ConfigError, Problem
from jobs.spec import Resources

CORE: Final = "cpu"
"""Price of one core for an hour, where packs run without a GPU."""
ANY_GPU: Final = "gpu"
"""Price of one GPU for an hour, where its kind has no price of its own."""
_BUDGET: Final = re.compile(r"\s*(?:\$\s*(?P<dollars>\d+(?:\.\d+)?)|(?P<time>\d+(?:\.\d+)?)\s*(?P<unit>[hm]))\s*")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a run may take: hours, or dollars."""

    text: str
    hours: float | None = None
    dollars: float | None = None


def parse_budget(text: str) -> Budget:
    """Read the value of --budget: `4h`, `90m` or `$20`.

    Raises:
        ConfigError: it is none of them, or nothing at all.
    """
    found = _BUDGET.fullmatch(text)
    amount = float((found["dollars"] or found["time"]) if found else 0)
    if found is None or not amount:
        raise ConfigError([Problem("--budget", "must be hours, minutes or dollars", text, "such as 4h, 90m or '$20'")])
    if found["dollars"]:
        return Budget(text=text.strip(), dollars=amount)
    return Budget(text=text.strip(), hours=amount if found["unit"] == "h" else amount / 60)


def dollars_an_hour(resources: Resources, device: str, prices: Mapping[str, float]) -> float | None:
    """What a pack costs an hour; None without a price for its device."""
    if resources.gpus:
        price = prices.get(resources.accelerator_type or device, prices.get(device, prices.get(ANY_GPU)))
        return None if price is None else price * resources.gpus
    price = prices.get(CORE)
    return None if price is None else price * resources.cpus


def pack_dollars(pack: PlannedPack, device: str, prices: Mapping[str, float]) -> float | None:
    """Estimated price of a pack; None without a price for its device, nothing for baselines on cores without one."""
    rate = dollars_an_hour(pack.resources, device, prices)
    if rate is None:
        return 0.0 if prices and pack.cells[0].cell.model is None else None
    return rate * pack.estimated_seconds / 3600


def budget_hours(budget: Budget, plan: Plan, device: str, prices: Mapping[str, float]) -> float:
    """How long a run may go on.

    Args:
        budget: hours, or dollars that as many packs as run side by side spend together.
        plan: what is to run.
        device: kind of device, as results name it.
        prices: of the config, dollars an hour.
    Returns:
        hours.
    Raises:
        ConfigError: dollars without a price for the device.
    """
    if budget.hours is not None or budget.dollars is None:
        return budget.hours or 0.0
    packs = [pack for pack in plan.packs if pack.cells[0].cell.model is not None] or list(plan.packs)
    rates = [dollars_an_hour(pack.resources, device, prices) for pack in packs]
    rate = max((one for one in rates if one is not None), default=None)
    if rate is None or not rate:
        hint = f"add `prices: {{{device}: DOLLARS_AN_HOUR}}` to the config"
        raise ConfigError([Problem("--budget", f"dollars need a price of {device}", budget.text, hint)])
    return budget.dollars / (rate * min(plan.parallel, max(1, len(packs))))
