"""The table of strategies: numbers are means, and the best is marked in the direction that is good."""

from __future__ import annotations

from analysis.figures.material import Material
from analysis.figures.strategies import plan_strategy_table
from analysis.tables import csv_text, latex_text, markdown_text


def test_best_values_are_marked_in_their_direction(single: Material) -> None:
    (table,) = plan_strategy_table(single).tables
    column = {name: place for place, name in enumerate(table.columns)}
    arms = [row[0] for row in table.rows]
    assert arms == ["bert, full", "bert, lora", "tfidf"]
    marked = {name: [arms[row] for row, place in sorted(table.best) if place == at] for name, at in column.items()}
    assert marked["accuracy"] == ["bert, full"] and marked["loss"] == ["bert, full"]
    assert marked["trained parameters"] == ["bert, lora"] and marked["seconds alone"] == ["bert, full"]
    assert marked["epochs"] == [] and marked["seeds"] == [] and marked["arm"] == []
    losses = [row[column["loss"]] for row in table.rows]
    assert losses[0] == min(losses)
    assert table.rows[1][column["trained parameters"]] == 147456
    assert table.rows[2][column["seconds alone"]] is None


def test_marks_are_bold_where_people_read(single: Material) -> None:
    (table,) = plan_strategy_table(single).tables
    best = next(iter(sorted(table.best)))
    value = table.rows[best[0]][best[1]]
    assert f"**{value:.4g}**" in markdown_text(table).replace("\\", "")
    assert "\\textbf{" in latex_text(table)
    assert "*" not in csv_text(table) and str(value) in csv_text(table)
