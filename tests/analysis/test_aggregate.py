"""Seeds to tiles: means, spreads and counts; nothing failed, missing or undefined disappears."""

from __future__ import annotations

import statistics

import pytest

from analysis.aggregate import Pivot, Status, Tile, default_axes, ordered, pivot
from analysis.loading import Results, results_from
from tests.analysis.synthetic import cell_row, grid_of, number, undefined


def laid_out(results: Results, **changes: object) -> Pivot:
    rows, cols = default_axes(results)
    settings = {"metric": "accuracy", "split": "test", "row_axes": rows, "col_axes": cols, **changes}
    return pivot(results, **settings)  # type: ignore[arg-type]


def of_cells(*pairs: tuple[dict, list[dict]]) -> Results:
    return results_from("g", [row for row, _ in pairs], [metric for _, metrics in pairs for metric in metrics])


def done(value: float, **changes: object) -> tuple[dict, list[dict]]:
    row = cell_row(**changes)
    return row, [number(row, value)]


def test_mean_sd_and_count_over_seeds() -> None:
    shown = laid_out(of_cells(*(done(value, seed=seed) for seed, value in enumerate([0.5, 0.6, 0.9]))))
    tile = shown.tile(shown.rows[0], shown.cols[0])
    assert tile.mean == pytest.approx(2.0 / 3)
    assert tile.sd == pytest.approx(statistics.stdev([0.5, 0.6, 0.9]))
    assert (len(tile.numbers), tile.declared, tile.status) == (3, 3, Status.NUMBER)
    assert shown.averaged == ("seed",)


def test_one_seed_has_no_spread() -> None:
    assert Tile(numbers=(0.5,)).sd is None


@pytest.mark.parametrize(
    ("tile", "status"),
    [
        (Tile(), Status.NOT_DECLARED),
        (Tile(not_run=2), Status.NOT_RUN),
        (Tile(not_run=1, undefined=1), Status.UNDEFINED),
        (Tile(not_run=1, undefined=1, failed=1), Status.FAILED),
        (Tile(not_run=1, undefined=1, failed=1, numbers=(0.0,)), Status.NUMBER),
    ],
)
def test_status_names_the_worst_when_there_is_no_number(tile: Tile, status: Status) -> None:
    assert tile.status is status


def test_every_state_is_counted() -> None:
    bad = cell_row(seed=1, state="failed", kind="bug")
    without = cell_row(seed=5)
    waiting = [cell_row(seed=seed, state=state) for seed, state in ((2, "pending"), (3, "running"), (4, "interrupted"))]
    results = of_cells(
        done(0.5), (bad, []), *((row, []) for row in waiting), (without, [undefined(without, "no rows")])
    )
    shown = laid_out(results)
    (tile,) = shown.tiles.values()
    assert (tile.numbers, tile.failed, tile.not_run, tile.undefined, tile.declared) == ((0.5,), 1, 3, 1, 6)
    assert shown.failures == {"bug": 1}
    assert shown.undefined == ("no rows",)


def test_a_done_cell_without_the_metric_is_undefined_not_zero() -> None:
    shown = laid_out(of_cells(done(0.5)), metric="loss")
    assert next(iter(shown.tiles.values())).status is Status.UNDEFINED
    assert shown.undefined == ("not recorded",)


def test_retired_cells_stay_outside_and_are_counted() -> None:
    shown = laid_out(of_cells(done(0.5), done(0.9, model="gone", retired=True)))
    assert shown.rows == (("bert-base-uncased",),)
    assert shown.retired == 1


def test_marks_and_mixed_provenance_are_kept() -> None:
    shown = laid_out(of_cells(done(0.5), done(0.7, seed=1, marks=("fp32 instead of bf16",), device="cuda")))
    assert next(iter(shown.tiles.values())).marked == 1
    assert shown.marks == {"fp32 instead of bf16": 1}
    assert shown.mixed == {"device": {"cpu": 1, "cuda": 1}}


def test_models_keep_their_order_and_baselines_come_last() -> None:
    shown = laid_out(grid_of(models=("zeta", "alpha"), baselines=("tfidf", "majority")))
    assert shown.rows == (("zeta",), ("alpha",), ("tfidf",), ("majority",))
    assert shown.baseline_rows == {("tfidf",), ("majority",)}
    assert shown.cols[:4] == ((2, 800), (2, 1600), (2, 2400), (4, 800))
    assert all(tile.declared == 2 for tile in shown.tiles.values())
    assert len(shown.tiles) == len(shown.rows) * len(shown.cols)


def test_strategies_and_variants_become_rows_and_baselines_have_neither() -> None:
    baseline = cell_row(model=None, strategy="majority", baseline=True)
    results = of_cells(
        done(0.5, strategy="qlora", variant=None),
        done(0.6, strategy="lora", variant="long"),
        (baseline, [number(baseline, 0.5)]),
    )
    shown = laid_out(results)
    assert shown.row_axes == ("model", "strategy", "variant")
    assert shown.rows == (
        ("bert-base-uncased", "qlora", None),
        ("bert-base-uncased", "lora", "long"),
        ("majority", "majority", None),
    )


def test_a_baseline_stands_in_every_column_of_a_setting_it_does_not_have() -> None:
    baseline = cell_row(model=None, strategy="majority", baseline=True)
    results = of_cells(
        done(0.5, learning_rate=1e-4), done(0.6, learning_rate=1e-3), (baseline, [number(baseline, 0.25)])
    )
    shown = laid_out(results, row_axes=("model",), col_axes=("learning_rate",))
    assert shown.cols == ((1e-4,), (1e-3,))
    assert [shown.tile(("majority",), col).mean for col in shown.cols] == [0.25, 0.25]


def test_baselines_are_left_out_where_nothing_names_them() -> None:
    shown = laid_out(grid_of(), row_axes=("num_labels",), col_axes=("num_samples",))
    assert shown.baselines_left_out == 2 * 12 * 2
    assert shown.averaged == ("model", "seed")
    assert all(tile.declared == 5 * 2 for tile in shown.tiles.values())


def test_models_as_columns() -> None:
    shown = laid_out(grid_of(), row_axes=("num_labels",), col_axes=("model",))
    assert shown.baseline_cols == {("majority",), ("tfidf",)}
    assert shown.baseline_rows == frozenset()
    assert shown.cols[-2:] == (("majority",), ("tfidf",))


def test_every_declared_cell_is_in_exactly_one_tile() -> None:
    results = grid_of()
    shown = laid_out(results)
    assert sum(tile.declared for tile in shown.tiles.values()) == len(results.declared)


def test_numbers_ascend_with_all_last_and_names_keep_their_order() -> None:
    assert ordered([1600, None, 800, 800]) == [800, 1600, None]
    assert ordered(["b", "a", "b"]) == ["b", "a"]
    assert ordered([None, "long", None]) == [None, "long"]
    assert ordered([10, 9.5]) == [9.5, 10]


def test_a_setting_that_only_some_models_have_keeps_every_cell() -> None:
    results = of_cells(done(0.5, strategy="full"), done(0.6, strategy="lora", r=4), done(0.7, strategy="lora", r=16))
    shown = laid_out(results)
    assert shown.row_axes == ("model", "strategy", "r")
    assert sum(tile.declared for tile in shown.tiles.values()) == 3
    assert len(shown.rows) == 3


@pytest.mark.parametrize(
    ("changes", "balanced"), [({}, True), ({"protocol": "official"}, False), ({"task": "multi_label"}, False)]
)
def test_chance_is_known_for_balanced_single_labels_only(changes: dict, balanced: bool) -> None:
    assert laid_out(of_cells(done(0.5, **changes))).balanced is balanced
