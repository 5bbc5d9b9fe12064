"""Budgets in hours and dollars, and what packs cost."""

import pytest

from grid.devices import Devices, NodeKind
from grid.plan import make_plan
from grid.prices import Budget, budget_hours, dollars_an_hour, pack_dollars, parse_budget
from jobs.errors import ConfigError
from jobs.spec import Resources
from tests.grid.documents import cells_of


@pytest.mark.parametrize(
    ("text", "hours", "dollars"),
    [("4h", 4.0, None), ("90m", 1.5, None), ("$20", None, 20.0), (" $ 2.50 ", None, 2.5), ("0.5 h", 0.5, None)],
)
def test_budgets_are_read(text, hours, dollars):
    assert parse_budget(text) == Budget(text=text.strip(), hours=hours, dollars=dollars)


@pytest.mark.parametrize("text", ["", "4", "20$", "h", "-4h", "0h", "$0", "4h $3", "1e3h"])
def test_everything_else_is_refused(text):
    with pytest.raises(ConfigError, match="such as 4h"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("resources", "device", "prices", "dollars"),
    [
        (Resources(cpus=4), "cpu", {"cpu": 0.1}, 0.4),
        (Resources(cpus=4, gpus=2), "A10G", {"cpu": 0.1, "gpu": 1.0, "A10G": 1.5}, 3.0),
        (Resources(gpus=1), "A10G", {"gpu": 1.0}, 1.0),
        (Resources(gpus=1, accelerator_type="T4"), "A10G", {"A10G": 1.0, "T4": 0.5}, 0.5),
        (Resources(gpus=1), "A10G", {"cpu": 1.0}, None),
        (Resources(cpus=4), "cpu", {}, None),
    ],
)
def test_what_a_pack_costs_an_hour(resources, device, prices, dollars):
    assert dollars_an_hour(resources, device, prices) == pytest.approx(dollars)


def test_dollars_last_as_long_as_the_devices_that_spend_them():
    two = Devices.of_nodes((NodeKind(cpus=8, gpus=1, count=2),), where="a cluster")
    plan = make_plan(cells_of(), {}, two)
    assert plan.parallel == 2
    assert budget_hours(parse_budget("$20"), plan, "A10G", {"A10G": 2.0}) == pytest.approx(5.0)
    assert budget_hours(parse_budget("3h"), plan, "A10G", {}) == 3.0
    (price,) = {pack_dollars(pack, "A10G", {}) for pack in plan.packs}
    assert price is None
    with pytest.raises(ConfigError, match=r"prices: \{A10G"):
        budget_hours(parse_budget("$20"), plan, "A10G", {"cpu": 1.0})
