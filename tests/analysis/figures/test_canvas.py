"""The look of figures: bars from zero, names that stay apart, and legends that leave nothing out."""

from __future__ import annotations

import pytest

from analysis.figures.canvas import (
    bars,
    entitle,
    key,
    label_of,
    line_look,
    names,
    new_axes,
    new_panels,
    rows_height,
)
from analysis.style import figure_settings, metric_style
from tests.analysis.figures.stores import LONG_LABELS, assert_readable, texts_of


def test_bars_begin_at_zero_and_carry_their_numbers() -> None:
    axes = new_axes(3, 2)
    bars(axes, ["a", "b"], [("first", [0.25, None]), ("second", [0.5, 1.0])], metric_style("accuracy"))
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 0.25), (0, 0.0), (0, 0.5), (0, 1.0)]
    assert [text.get_text() for text in axes.texts] == ["25.0", "–", "50.0", "100.0"]
    assert axes.get_xlim()[0] == 0
    assert axes.get_ylim() == (1.5, -0.5)


def test_huge_numbers_of_one_row_fit() -> None:
    with figure_settings():
        axes = new_axes(3, rows_height(1))
        bars(axes, ["only"], [("x", [1.234e12])], metric_style("total_parameters"))
        entitle(axes, "a title " * 20, "a note " * 30)
        assert "1.23T" in texts_of(axes)
        assert_readable(axes)


def test_long_names_stay_different_and_short() -> None:
    shown = names(LONG_LABELS)
    assert len(set(shown)) == len(LONG_LABELS)
    assert all(name.count("\n") <= 1 for name in shown)


def test_a_name_with_an_underscore_stands_in_the_legend() -> None:
    axes = new_axes(2, 2)
    axes.plot([0, 1], [0, 1], label=label_of("_private"))
    axes.plot([0, 1], [1, 0], label=label_of(""))
    key(axes)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_private", "(empty)"]


def test_the_first_lines_look_different() -> None:
    looks = [(look["color"], str(look["linestyle"])) for look in map(line_look, range(32))]
    assert len(set(looks)) == 32


def test_panels_stand_in_rows_and_keep_their_size() -> None:
    panels = new_panels([(2.0, 1.0)] * 5, columns=3)
    width, height = panels[0].figure.get_size_inches()
    for panel in panels:
        box = panel.get_position()
        assert box.width * width == pytest.approx(2.0)
        assert box.height * height == pytest.approx(1.0)
    tops = [round(panel.get_position().y1, 6) for panel in panels]
    assert tops[:3] == [tops[0]] * 3 and tops[3] == tops[4] < tops[0]
