"""Words and sizes of a heatmap, before anything is drawn."""

from __future__ import annotations

import dataclasses

import pytest

from analysis.aggregate import Tile, default_axes, pivot
from analysis.heatmap_layout import TileText, chance_level, key_text, lay_out, tile_text, value_text
from analysis.style import metric_style
from tests.analysis.synthetic import grid_of

ACCURACY = metric_style("accuracy")


def shown(**changes: object):
    results = grid_of()
    rows, cols = default_axes(results)
    made = pivot(results, metric="accuracy", split="test", row_axes=rows, col_axes=cols)
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize(
    ("tile", "expected"),
    [
        (Tile(numbers=(0.5, 0.75)), TileText(main="62.5", small=("±17.7",))),
        (Tile(numbers=(0.5,), not_run=1), TileText(main="50.0", small=("n=1/2",))),
        (Tile(numbers=(0.5,), failed=1), TileText(main="50.0", small=("n=1/2 ✗",))),
        (Tile(numbers=(0.5,)), TileText(main="50.0", small=("n=1",))),
        (Tile(numbers=(0.5, 0.5), marked=1), TileText(main="50.0", small=("±0.0",), is_marked=True)),
        (Tile(failed=2), TileText(main="✗", small=("failed",))),
        (Tile(not_run=2), TileText(main="⋯", small=("not run",))),
        (Tile(undefined=2), TileText(main="∅", small=("undefined",))),
        (Tile(), TileText(main="")),
    ],
)
def test_what_a_tile_says_where_two_cells_are_usual(tile: Tile, expected: TileText) -> None:
    assert tile_text(tile, ACCURACY, 2) == expected


def test_a_true_zero_is_a_number() -> None:
    assert tile_text(Tile(numbers=(0.0,)), ACCURACY, 1) == TileText(main="0.0")


@pytest.mark.parametrize(
    ("axes", "key", "is_baseline", "text"),
    [
        (("model", "strategy", "variant"), ("bert", "qlora", "long"), False, "bert · qlora · long"),
        (("model", "strategy", "variant"), ("tfidf", "tfidf", None), True, "tfidf (baseline)"),
        (("model", "variant"), ("bert", None), False, "bert · variant as declared"),
        (("num_labels", "num_samples"), (4, None), False, "4 labels · all training rows"),
        (("model", "learning_rate"), ("bert", 1e-4), False, "bert · learning rate 1e-4"),
        (("model", "r"), ("bert", None), False, "bert · r –"),
    ],
)
def test_names_of_rows(axes: tuple[str, ...], key: tuple[object, ...], is_baseline: bool, text: str) -> None:
    assert key_text(axes, key, is_baseline=is_baseline) == text


def test_a_value_is_one_line_and_never_empty() -> None:
    assert value_text("model", "a\nb") == "a b"
    assert value_text("model", "") == "(empty)"


def test_chance_is_given_only_where_it_is_known() -> None:
    assert chance_level(shown(), 4) == 0.25
    assert chance_level(shown(), None) is None
    assert chance_level(shown(balanced=False), 4) is None
    assert chance_level(shown(metric="loss"), 4) is None


def test_the_grid_grows_with_its_cells_and_headers_cover_it() -> None:
    small = lay_out(shown(), ACCURACY, title="t")
    assert small.grid_width == pytest.approx(12 * small.tile_width)
    assert small.grid_height == pytest.approx(7 * small.tile_height)
    assert small.usual_count == 2
    for line in small.heads:
        covered = [column for span in line.spans for column in range(span.first, span.last + 1)]
        assert covered == list(range(12))
    assert [line.name for line in small.heads] == ["labels", "chance (%)", "training rows"]


def test_a_long_title_is_wrapped_not_widened() -> None:
    short, long = (lay_out(shown(), ACCURACY, title=title) for title in ("t", "long title " * 60))
    assert long.width == short.width
    assert long.title.count("\n") == 2
