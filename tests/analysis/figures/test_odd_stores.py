"""Every name on odd stores: nothing declared, nothing done, one cell, folders gone, hostile names, a damaged file."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.figures.catalogue import FIGURES
from analysis.figures.material import Drawn, Material, NothingToDraw
from analysis.loading import Results, results_from
from analysis.report_figures import page_figures
from jobs.errors import EnvironmentProblem
from tests.analysis.figures.stores import assert_readable, store_of
from tests.analysis.synthetic import cell_row, grid_of
from tests.analysis.test_heatmap_figure import HOSTILE


def planned(results: Results) -> dict[str, Drawn | str]:
    """What every name gives: pictures and tables, or a reason."""
    material = Material(results=results)
    found: dict[str, Drawn | str] = {}
    for name, plan in FIGURES.items():
        try:
            found[name] = plan(material)
        except NothingToDraw as nothing:
            found[name] = str(nothing)
    return found


def test_an_empty_store_and_one_where_nothing_is_done_have_reasons() -> None:
    waiting = [cell_row(state="failed", kind="bug", reason="x"), cell_row(state="pending", seed=1)]
    for results in (results_from("g", [], []), results_from("g", waiting, [])):
        assert all(isinstance(each, str) and each for each in planned(results).values())


def test_numbers_without_files_give_what_they_can() -> None:
    found = planned(grid_of(models=("a", "b"), labels=(2,), samples=(800, 1600)))
    drawn = {name for name, each in found.items() if isinstance(each, Drawn)}
    assert drawn == {"size-curves", "metric-bars", "strategy-table"}


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_one_cell_with_hostile_names(tmp_path: Path, task: str) -> None:
    results = store_of(
        tmp_path, task=task, labels=HOSTILE[:5], arms={(HOSTILE[0], "lora"): 0.5}, sizes=(100,), seeds=(0,), rows=40
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in planned(results).values():
            for picture in each.pictures[:1] if isinstance(each, Drawn) else ():
                axes = picture.draw()
                assert_readable(axes[0] if isinstance(axes, tuple) else axes)
        assert page_figures(Material(results=results))


def test_folders_that_are_gone_and_files_that_are_damaged(tmp_path: Path) -> None:
    results = store_of(tmp_path, arms={("bert", "lora"): 0.5}, sizes=(100,), seeds=(0,))
    gone = planned(replace(results, folders={}))
    assert {name for name in ("confusion", "reliability", "learning-curves") if isinstance(gone[name], str)} == {
        *("confusion", "reliability", "learning-curves")
    }
    (folder,) = results.folders.values()
    (folder / "predictions.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(EnvironmentProblem, match=r"predictions\.parquet"):
        FIGURES["confusion"](Material(results=results))
