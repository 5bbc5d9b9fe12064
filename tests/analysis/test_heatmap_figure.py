"""What a reader sees: every text inside the picture, none on top of another, signs where there is no number."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.aggregate import default_axes, pivot
from analysis.heatmap_figure import draw
from analysis.loading import Results, results_from
from analysis.style import figure_settings
from tests.analysis.synthetic import cell_row, grid_of, number

OUT_OF_MEMORY = {"state": "failed", "kind": "out_of_memory", "reason": "needs 9 GiB"}
HOSTILE = (
    "a_{b}^{c} $\\frac{1}{2}$ & <script>",
    "😀 日本語 \U0001f9d1‍\U0001f4bb",
    "مرحبا שלום",
    "line\nbreak\x00nul\u202e",
    "x" * 300,
    "/home/someone/models/a/very/long/path/to/a/local/checkpoint-folder-1",
    "/home/someone/models/a/very/long/path/to/a/local/checkpoint-folder-2",
    "",
)


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with figure_settings():
        yield


def figure_of(results: Results, *, rows: tuple[str, ...] = (), cols: tuple[str, ...] = (), **changes: str) -> Figure:
    default_rows, default_cols = default_axes(results)
    asked = {"metric": "accuracy", "split": "test", **changes}
    shown = pivot(results, row_axes=rows or default_rows, col_axes=cols or default_cols, **asked)
    return draw(shown, title=f"{results.grid}: {asked['metric']}")


def texts_of(figure: Figure) -> list[Text]:
    return [
        text for axes in figure.axes for text in axes.findobj(Text) if text.get_visible() and text.get_text().strip()
    ]


def written(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts_of(figure))


def assert_readable(figure: Figure) -> None:
    """No text leaves the picture and no two texts overlap."""
    figure.canvas.draw()
    texts = texts_of(figure)
    boxes = np.array([text.get_window_extent().extents for text in texts])
    width, height = figure.get_size_inches() * figure.dpi
    outside = (boxes[:, 0] < 0) | (boxes[:, 1] < 0) | (boxes[:, 2] > width) | (boxes[:, 3] > height)
    assert not outside.any(), [texts[i].get_text() for i in np.flatnonzero(outside)]
    left, low, right, high = (boxes[:, i] for i in range(4))
    across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    down = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    # Boxes hold the room for accents and descenders; a pixel or two of empty box may touch.
    over = (across > 1.0) & (down > 0.25 * np.minimum((high - low)[:, None], high - low))
    np.fill_diagonal(over, False)
    pairs = [(texts[i].get_text(), texts[j].get_text()) for i, j in np.argwhere(over) if i < j]
    assert not pairs, pairs[:5]


def test_five_models_by_twelve_columns() -> None:
    changes = {
        ("gpt2-xl", 16): OUT_OF_MEMORY,
        ("gpt2-xl", 8, 1600, 1): OUT_OF_MEMORY,
        ("gemma-3-1b", 4): {"state": "pending"},
        ("bert-base-uncased", 16, 800): {"undefined": "only one class predicted"},
        ("llama-3.2-1b", 4, 1600, 0): {"marks": ("micro-batch halved after running out of memory",)},
        ("tfidf", 2, 800): {"retired": True},
    }
    figure = figure_of(grid_of(changes=changes))
    assert_readable(figure)
    seen = written(figure)
    for expected in (
        "failed",
        "not run",
        "undefined",
        "only one class predicted",
        "out of memory (7 cells)",
        "n=1/2 ✗",
    ):
        assert expected in seen
    assert "micro-batch halved after running out of memory (1 cell)" in seen
    assert "2 cells no longer declared" in seen
    assert "chance (%)\n" in seen
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 3 + 3 + 1 + 3  # tiles, and one swatch a kind in the legend


@pytest.mark.parametrize("turned", [False, True])
def test_twelve_by_forty(turned: bool) -> None:
    models = tuple(f"owner-{i}/some-model-with-a-long-name-{'x' * (3 * i)}" for i in range(12))
    results = grid_of(models=models, labels=(2, 4, 8, 16, 28), samples=(100, 200, 400, 800, 1200, 1600, 2400, 10000))
    rows, cols = default_axes(results)
    assert_readable(figure_of(results, rows=cols, cols=rows) if turned else figure_of(results))


def test_one_by_one() -> None:
    figure = figure_of(grid_of(models=("bert",), labels=(2,), samples=(800,), seeds=(0,), baselines=()))
    assert_readable(figure)
    assert "no spread can be shown" in written(figure)


@pytest.mark.parametrize("turned", [False, True])
def test_hostile_names_are_drawn_as_they_are_without_a_warning(turned: bool) -> None:
    results = grid_of(models=HOSTILE, name="$\\alpha$ \U0001f600 شكرا", changes={(HOSTILE[0], 2): OUT_OF_MEMORY})
    rows, cols = default_axes(results)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figure_of(results, rows=cols, cols=rows) if turned else figure_of(results)
        assert_readable(figure)
    assert "$\\frac{1}{2}$" in written(figure).replace("\n", "")


def test_long_marks_and_reasons_are_wrapped() -> None:
    changes = {("bert-base-uncased",): {"marks": ("a departure that is told at length, " * 8,)}}
    assert_readable(figure_of(grid_of(changes=changes, samples=(800,), labels=(2,))))


def test_strategies_and_variants_are_rows() -> None:
    rows = [
        cell_row(strategy=strategy, variant=variant)
        for strategy in ("qlora", "lora")
        for variant in (None, "rank 16, alpha 64")
    ]
    figure = figure_of(results_from("g", rows, [number(row, 0.5) for row in rows]))
    assert_readable(figure)
    assert "bert-base-uncased · qlora ·" in written(figure).replace("\n", " ")
    assert "rank 16" in written(figure)


def test_a_metric_in_which_less_is_better() -> None:
    figure = figure_of(grid_of(), metric="loss")
    assert_readable(figure)
    assert "lower is better" in written(figure)
    assert "chance" not in written(figure)


def test_nothing_has_run_yet() -> None:
    figure = figure_of(
        grid_of(changes={(model,): {"state": "pending"} for model in ("bert",)}, models=("bert",), baselines=())
    )
    assert_readable(figure)
    assert "is better" not in written(figure)


def test_cells_that_were_not_declared_are_blank_and_explained() -> None:
    rows = [cell_row(num_labels=2, num_samples=800), cell_row(num_labels=4, num_samples=1600)]
    figure = figure_of(results_from("g", rows, [number(row, 0.5) for row in rows]))
    assert "not part of the grid" not in written(figure)
    square = figure_of(
        results_from("g", rows, [number(row, 0.5) for row in rows]), rows=("num_labels",), cols=("num_samples",)
    )
    assert_readable(square)
    assert "not part of the grid" in written(square)
