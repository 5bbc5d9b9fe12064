"""Plans measure what they do not know of this machine; with what is kept they do not measure again."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grid import plan_gauging
from grid.expectations import ARITHMETIC, GAUGED
from grid.options import RunOptions
from grid.outlook import Outlook, look_ahead
from grid.plan_gauging import gauged
from jobs.gauging.book import keep_gauge
from jobs.gauging.messages import Wish
from tests.grid.test_cost_model import GAUGE

CONFIG = """
name: small
axes: {model: [tiny-bert], num_labels: [2, 4], num_samples: [80], strategy: [lora, head]}
dataset: {source: builtin, rows: 2000}
compute: {device: cpu}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small grid, a cache folder of its own, and a machine on which plans measure."""
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FINEGRID_GAUGE_S", "5")
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG, "utf-8")
    return path


def look(config: Path, **options: object) -> Outlook:
    known = {"config": str(config), "results": str(config.parent / "none"), "dry_run": True}
    return look_ahead(RunOptions(**{**known, **options}))  # type: ignore[arg-type]


def plan(outlook: Outlook) -> tuple[Outlook, str]:
    stream = io.StringIO()
    return gauged(outlook, Console(file=stream, width=200)), stream.getvalue()


def bases(outlook: Outlook) -> set[str]:
    return {pack.basis for pack in outlook.plan.packs}


def test_what_is_not_known_is_measured_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Wish] = []

    def measure(wishes: tuple[Wish, ...], *, cache: Path, seconds: float, say: object) -> list[str]:
        asked.extend(wishes)
        for wish in wishes:
            keep_gauge(cache, wish.key, GAUGE)
        assert seconds == 5.0
        return []

    monkeypatch.setattr(plan_gauging, "measure", measure)
    before = look(config)
    after, said = plan(before)
    assert (bases(before), bases(after)) == ({ARITHMETIC}, {GAUGED})
    assert {str(wish.cell.strategy) for wish in asked} == {"lora", "head"} and "2 kinds of cells" in said
    assert max(asked[0].lengths) > 3  # of the corpus, not the typical one
    again, said = plan(look(config))
    assert (bases(again), said, len(asked)) == ({GAUGED}, "", 2)
    assert {pack.pack_id for pack in again.plan.packs} == {pack.pack_id for pack in after.plan.packs}


def test_what_cannot_be_measured_is_said_and_estimated_by_size(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_gauging, "measure", lambda *wishes, **options: ["no torch [here]"])
    outlook, said = plan(look(config))
    assert bases(outlook) == {ARITHMETIC}
    assert "Not measured, so estimated by size: no torch [here]" in said


@pytest.mark.parametrize("case", ["off", "elsewhere"])
def test_nothing_is_measured_where_it_would_say_nothing(
    case: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_gauging, "measure", lambda *wishes, **options: pytest.fail("measured"))
    if case == "off":
        monkeypatch.setenv("FINEGRID_GAUGE_S", "0")
    outlook = look(config, on="A10G" if case == "elsewhere" else None)
    assert plan(outlook) == (outlook, "")


def test_without_ray_packs_run_one_after_another(config: Path) -> None:
    side_by_side, alone = look(config).plan, look(config, local=True).plan
    assert alone.parallel == 1
    assert alone.estimated_seconds == pytest.approx(sum(pack.estimated_seconds for pack in alone.packs))
    assert side_by_side.num_cells == alone.num_cells
