"""What a report shows, as plain values for its template: from the tables of a store to the page's parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from analysis.answers import BestArm
from analysis.arms import Estimate, estimates_frame
from analysis.cell_page import paged_cells
from analysis.comparing import Comparison, comparisons_frame
from analysis.figures.material import Material
from analysis.loading import Results
from analysis.questions import Questions
from analysis.report_answers import Answer, answers_of
from analysis.report_charts import size_charts
from analysis.report_estimates import CostEstimate, estimate_listing, estimate_table, read_estimates
from analysis.report_facts import Facts
from analysis.report_figures import PageFigure, page_figures, strategy_listing
from analysis.report_heatmap import Heatmap, heatmap, shade_rules
from analysis.report_sections import (
    Listing,
    Row,
    cell_title,
    comparison_listings,
    failure_listings,
    label_frame,
    label_listings,
    mark_listing,
    notes_of,
    provenance_listings,
)
from analysis.report_standing import standings
from analysis.report_tuning import tuning_listing, tuning_notes, tuning_table
from analysis.tables import Table
from jobs.errors import one_line

TABLE_NAMES: Final = ("estimates", "comparisons", "best", "answers", "not_done", "tuning", "planned", "per_label")
"""Every table that a report may have; those without rows are not written."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything the template shows, in the order in which it shows it."""

    grid: str
    metric: str
    unit: str
    counts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    words: str
    """What the page calls an arm, a column and a baseline."""
    answers: tuple[Answer, ...]
    heatmap: Heatmap | None
    charts: tuple[Markup, ...]
    strategies: Listing | None
    figures: tuple[PageFigure, ...]
    shade_css: str
    pairs_note: str
    tuning: Listing | None
    """What was chosen for every arm; None for a grid without tuning."""
    tuning_notes: tuple[str, ...]
    planned: Listing | None
    """Estimate against actual; None where no run kept what it had planned."""
    comparisons: tuple[Listing, ...]
    labels: tuple[Listing, ...]
    provenance: tuple[Listing, ...]
    marks: Listing | None
    failures: tuple[Listing, ...]
    cells: Listing | None
    """Every cell that has a page of its own."""
    paged: frozenset[str]
    """Cells that have pages of their own."""
    tables: tuple[Table, ...]
    """Written beside the page."""


def page_of(results: Results, facts: Facts, questions: Questions | None = None, *, root: Path | None = None) -> Page:
    """Work out a report.

    Args:
        results: a loaded store.
        facts: of the same store.
        questions: what to answer besides; None: nothing.
        root: the results folder, where explanations lie; None: there is none, and no pages of single cells either.
    Returns:
        the page; equal stores and questions give equal pages.
    Raises:
        EnvironmentProblem: predictions are there but cannot be read.
    """
    material = Material(results=results, select_on=facts.select_on, root=root)
    metric, style, found = material.metric, material.style, material.found
    compared, best = material.compared, material.best
    paged = frozenset(paged_cells(results)) if root is not None else frozenset()
    marks = dict(zip(results.declared["cell_id"], results.declared["marks"], strict=True))
    marks = {cell: tuple(own) for cell, own in marks.items() if own}
    standing = standings(best, compared)
    answers = answers_of(results, found, compared, best, standing, questions)
    planned = read_estimates(root) if root is not None else ()
    return Page(
        grid=one_line(results.grid, limit=200),
        metric=metric.replace("_", " "),
        unit=style.unit,
        counts=_counts(results, found),
        notes=notes_of(results, found, style, facts),
        words=_words(found),
        answers=answers,
        heatmap=heatmap(found, standing, style=style, facts=facts, marks=marks, paged=paged) if found else None,
        charts=size_charts(found, style),
        strategies=strategy_listing(material),
        figures=page_figures(material),
        shade_css=shade_rules(style),
        pairs_note=material.pairs_note,
        tuning=tuning_listing(facts.tuned),
        tuning_notes=tuning_notes(facts.tuned),
        planned=estimate_listing(planned),
        comparisons=comparison_listings(compared, best),
        labels=label_listings(results, found, best),
        provenance=provenance_listings(results, facts, found),
        marks=mark_listing(results),
        failures=failure_listings(results, facts),
        cells=_cell_listing(material, facts, paged),
        paged=paged,
        tables=_tables(results, facts, found, compared, best, answers, planned),
    )


def _words(found: Sequence[Estimate]) -> str:
    """The words that a reader meets first, where they are needed."""
    said = (
        "An arm is what is compared: a model with its strategy and settings. A column is what arms are compared on: "
        "one data set with one number of labels and of rows for training. Differences are in percentage points."
    )
    if any(one.is_baseline for one in found):
        said += " Baselines: majority always says the most frequent label, tfidf is a linear model of word weights."
    return said if found else ""


def _cell_listing(material: Material, facts: Facts, paged: frozenset[str]) -> Listing | None:
    """Cells with pages: id, title, state and score."""
    rows = []
    for cell in material.results.declared_cells:
        if cell["cell_id"] in paged:
            score = material.mean_of(material.metric, [cell["cell_id"]])
            text = "" if score is None else material.style.text(score)
            css = "failed" if cell["state"] == "failed" else ""
            rows.append(Row(texts=(cell["cell_id"], cell_title(cell, facts), cell["state"], text), css=css))
    name = f"{material.metric.replace('_', ' ')}{material.style.unit}"
    columns = ("Cell", "Title", "State", name)
    return Listing(caption="Every cell", columns=columns, rows=tuple(rows)) if rows else None


def _counts(results: Results, found: Sequence[Estimate]) -> tuple[tuple[str, str], ...]:
    cells = results.declared
    states = Counter(cells["state"])
    seeds = sorted({len(one.seeds) for one in found if one.seeds})
    said = [("cells declared", f"{len(cells):,}"), ("done", f"{states['done']:,}")]
    said += [(state.replace("_", " "), f"{states[state]:,}") for state in sorted(states) if state != "done"]
    said.append(("arms", f"{len({one.arm.key for one in found}):,}"))
    said.append(("columns", f"{len({one.column.key for one in found}):,}"))
    if seeds:
        said.append(("seeds an arm", f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"))
    return tuple(said)


def _tables(
    results: Results,
    facts: Facts,
    found: Sequence[Estimate],
    compared: Sequence[Comparison],
    best: Sequence[BestArm],
    answers: Sequence[Answer],
    planned: Sequence[CostEstimate],
) -> tuple[Table, ...]:
    axes = best[0].column.axes if best else ()
    made = [
        _from_frame("estimates", f"{results.grid}: every arm in every column", estimates_frame(found)),
        _from_frame("comparisons", f"{results.grid}: paired comparisons", comparisons_frame(compared)),
        Table(
            name="best",
            caption=f"{results.grid}: best arm of every column",
            columns=(*axes, "best", "mean", "low", "high", "not told from it"),
            rows=tuple(
                (
                    *(one.column[axis] for axis in axes),
                    one.best.title,
                    one.mean,
                    one.low,
                    one.high,
                    "; ".join(rival.title for rival in one.rivals),
                )
                for one in best
            ),
        ),
        Table(
            name="answers",
            caption=f"{results.grid}: answers in words",
            columns=("question", "answer"),
            rows=tuple((one.question, text) for one in answers for text in (*one.leads, *one.sentences)),
        ),
        _open_cells(results, facts),
        tuning_table(results.grid, facts.tuned),
        estimate_table(results.grid, planned),
        _from_frame("per_label", f"{results.grid}: numbers of single labels", label_frame(results)),
    ]
    return tuple(table for table in made if table.rows)


def _open_cells(results: Results, facts: Facts) -> Table:
    rows = [
        (cell["cell_id"], cell_title(cell, facts), cell["state"], cell["kind"], cell["reason"])
        for cell in results.declared_cells
        if cell["state"] != "done"
    ]
    return Table(
        name="not_done",
        caption=f"{results.grid}: cells that are not done, with their reasons",
        columns=("cell_id", "title", "state", "kind", "reason"),
        rows=tuple(rows),
    )


def _from_frame(name: str, caption: str, frame: Any) -> Table:
    rows = tuple(zip(*(frame[column].tolist() for column in frame.columns), strict=True))
    return Table(name=name, caption=caption, columns=tuple(str(column) for column in frame.columns), rows=rows)
