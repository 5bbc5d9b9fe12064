"""Legend and notes: what occurs is explained, what does not occur is not mentioned."""

from __future__ import annotations

import dataclasses

from analysis.aggregate import Pivot, default_axes, pivot
from analysis.heatmap_notes import footnotes, legend_entries
from analysis.loading import Results
from tests.analysis.synthetic import grid_of


def pivot_of(results: Results, metric: str = "accuracy") -> Pivot:
    rows, cols = default_axes(results)
    return pivot(results, metric=metric, split="test", row_axes=rows, col_axes=cols)


def test_a_whole_grid_needs_no_legend() -> None:
    assert legend_entries(pivot_of(grid_of())) == ()
    assert footnotes(pivot_of(grid_of())) == (
        "chance: right answers by guessing, one over the number of labels (rows are balanced).",
    )


def test_failures_are_listed_by_kind() -> None:
    changes = {
        ("gpt2-xl", 16): {"state": "failed", "kind": "out_of_memory"},
        ("gpt2-xl", 8, 800, 0): {"state": "failed", "kind": "bug"},
    }
    entries = legend_entries(pivot_of(grid_of(changes=changes)))
    assert [entry.sign for entry in entries] == ["✗", "n=1/2"]
    assert entries[0].text == "failed: out of memory (6 cells), bug (1 cell)"


def test_partial_failures_alone_are_explained_too() -> None:
    changes = {("gpt2-xl", 8, 800, 0): {"state": "failed", "kind": "transient"}}
    (entry,) = legend_entries(pivot_of(grid_of(changes=changes)))
    assert "transient (1 cell)" in entry.text


def test_many_marks_are_cut_and_counted() -> None:
    marks = {f"mark {number}": 7 - number for number in range(6)}
    made = pivot_of(grid_of(changes={("gpt2-xl",): {"marks": ("mark 0",)}}))
    (entry,) = legend_entries(dataclasses.replace(made, marks=marks))
    assert entry.text.endswith("mark 3 (4 cells) and 2 more")


def test_costs_are_called_attributed() -> None:
    made = dataclasses.replace(pivot_of(grid_of()), metric="train_seconds", split="cost", balanced=False)
    assert any(note.startswith("Attributed") for note in footnotes(made))
    alone = footnotes(dataclasses.replace(made, metric="solo_step_seconds"))
    assert any(note.startswith("Measured alone") for note in alone)
    assert not any(note.startswith("Attributed") for note in alone)


def test_mixed_devices_and_retired_cells_are_told() -> None:
    changes = {("gpt2-xl", 2): {"device": "cuda"}, ("gemma-3-1b", 2, 800, 0): {"retired": True}}
    notes = footnotes(pivot_of(grid_of(changes=changes)))
    assert "Mixed device: cpu (113 cells), cuda (6 cells); compare with care." in notes
    assert "1 cell no longer declared (retired), not shown." in notes
