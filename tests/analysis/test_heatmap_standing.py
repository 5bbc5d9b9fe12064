"""Intervals and standings of tiles: each tile gets what the estimate of its own arm and column says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.aggregate import default_axes, pivot
from analysis.arms import estimates
from analysis.heatmap_figure import TIED_HATCH, draw
from analysis.heatmap_standing import Judged, evidence_of, judged_tiles, standings_shown
from analysis.loading import Results
from analysis.report_standing import Standing
from analysis.style import figure_settings
from tests.analysis.answer_sheets import results_of, sheets_of
from tests.analysis.synthetic import grid_of
from tests.analysis.test_heatmap_figure import assert_readable, written


def two_arms(folder: Path) -> Results:
    """Five seeds of a, b (much better) and c (as good as b), and tf-idf."""
    arms = (("a", "lora", 0.5), ("b", "lora", 0.9), ("c", "lora", 0.895), ("", "tfidf", 0.6))
    shares = {(model, strategy, 2, size): share for model, strategy, share in arms for size in (800, 1600)}
    return results_of(folder, sheets_of(shares, seeds=5, rows=400))


def test_every_tile_has_the_interval_of_its_estimate(tmp_path: Path) -> None:
    results = two_arms(tmp_path)
    rows, cols = default_axes(results)
    shown = pivot(results, metric="accuracy", split="test", row_axes=rows, col_axes=cols)
    judged = judged_tiles(shown, evidence_of(results, "accuracy", "test"))
    assert set(judged) == {(row, col) for row in shown.rows for col in shown.cols}
    for one in estimates(results):
        row = (one.arm["model"] if not one.is_baseline else one.arm["strategy"],)
        own = judged[row, (one.column["num_labels"], one.column["num_samples"])]
        assert (own.low, own.high) == (one.low, one.high)
    assert judged[("a",), (2, 800)].standing is Standing.WORSE
    assert {judged[(m,), (2, 800)].standing for m in "bc"} == {Standing.BEST, Standing.TIED}
    assert standings_shown(judged.values()) == {Standing.BEST, Standing.TIED, Standing.WORSE}


def test_the_picture_of_one_model_is_judged_by_all(tmp_path: Path) -> None:
    results = two_arms(tmp_path)
    own = pivot(results, metric="accuracy", split="test", row_axes=["num_labels"], col_axes=["num_samples"])
    judged = judged_tiles(own, evidence_of(results, "accuracy", "test"), arm={"model": "a"})
    assert judged == {}  # the tiles above are means over three models: none is an estimate's
    only = replace(results, cells=results.cells[results.cells["model"] == "a"])
    one = pivot(only, metric="accuracy", split="test", row_axes=["num_labels"], col_axes=["num_samples"])
    judged = judged_tiles(one, evidence_of(results, "accuracy", "test"), arm={"model": "a"})
    assert {each.standing for each in judged.values()} == {Standing.WORSE}


def test_the_picture_of_one_model_does_not_call_its_own_columns_the_ground_of_signs(tmp_path: Path) -> None:
    """Its rows are label counts: nothing is the highest of such a column of the picture."""
    results = two_arms(tmp_path)
    only = replace(results, cells=results.cells[results.cells["model"].isin(["b", "c"])])
    for model in "bc":
        own = replace(only, cells=only.cells[only.cells["model"] == model])
        one = pivot(own, metric="accuracy", split="test", row_axes=["num_labels"], col_axes=["num_samples"])
        judged = judged_tiles(one, evidence_of(results, "accuracy", "test"), arm={"model": model})
        with figure_settings():
            seen = written(draw(one, title="g", judged=judged))
        assert "its column" not in seen
        assert "on the same data" in seen


def test_signs_hatches_and_intervals_are_drawn_and_explained(tmp_path: Path) -> None:
    results = two_arms(tmp_path)
    rows, cols = default_axes(results)
    shown = pivot(results, metric="accuracy", split="test", row_axes=rows, col_axes=cols)
    judged = judged_tiles(shown, evidence_of(results, "accuracy", "test"))
    with figure_settings():
        figure = draw(shown, title="g", judged=judged)
        assert_readable(figure)
    seen = written(figure)
    assert "under it its 95 % interval" in seen and "±" not in seen
    assert "cannot be told from the highest of all arms on the same data" in seen
    tied = sum(each.standing is Standing.TIED for each in judged.values())
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch() == TIED_HATCH]
    assert tied == 2 and len(hatched) == tied + 1  # and the swatch of the legend
    assert seen.count("≈") == tied + 1


def test_costs_and_losses_have_no_standing() -> None:
    results = grid_of(models=("a", "b"), labels=(2,), samples=(800,))
    assert evidence_of(results, "train_seconds", "cost").found == ()
    evidence = evidence_of(results, "loss", "test")
    assert evidence.standing == {} and all(one.low is not None for one in evidence.found)
    assert Judged().standing is None
