"""Figures inside a report: which ones a store gets, and the table of arms in per cent with its best values."""

from __future__ import annotations

from pathlib import Path

from analysis.figures.material import Material
from analysis.loading import results_from
from analysis.report_figures import page_figures, strategy_listing
from tests.analysis.figures.stores import store_of


def test_figures_that_say_something(tmp_path: Path) -> None:
    found = {one.slug: one for one in page_figures(Material(results=store_of(tmp_path)))}
    assert list(found) == [
        "score-against-cost",
        "trained-parameters",
        "strategy-differences",
        "pr-auc",
        "pr-auc-differences",
        "label-scores",
    ]
    assert all(len(one.pictures) == 1 for one in found.values())
    assert 'aria-label="What scores cost: 4-labels-400-rows-for-training"' in found["score-against-cost"].pictures[0]


def test_rows_with_several_labels_have_more(tmp_path: Path) -> None:
    results = store_of(tmp_path, task="multi_label", arms={("bert", "lora"): 0.8}, sizes=(100,), seeds=(0,))
    slugs = [one.slug for one in page_figures(Material(results=results))]
    assert "threshold-curves" in slugs and "label-distribution" in slugs


def test_an_empty_store_has_none() -> None:
    material = Material(results=results_from("g", [], []))
    assert page_figures(material) == () and strategy_listing(material) is None


def test_arms_in_numbers(tmp_path: Path) -> None:
    listing = strategy_listing(Material(results=store_of(tmp_path)))
    assert listing is not None
    place = listing.columns.index("accuracy (%)")
    scores = [float(row.texts[place]) for row in listing.rows]
    assert 0 < min(scores) and max(scores) > 60
    assert [place in row.best for row in listing.rows] == [score == max(scores) for score in scores]
