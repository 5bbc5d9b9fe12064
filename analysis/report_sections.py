"""Sections of a report under the heatmap: comparisons, labels, provenance, and what is not done and why."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from analysis.answers import BestArm
from analysis.arms import Estimate, columns_of
from analysis.comparing import Comparison, Verdict
from analysis.heatmap_layout import MARK_SIGN
from analysis.loading import PROVENANCE, Results
from analysis.report_facts import Facts, data_hashes
from analysis.style import MetricStyle
from jobs.errors import one_line

MOST_COMPARISONS: Final = 300
MOST_CELLS: Final = 200
ENDS: Final = 5
"""Labels shown from the top and from the bottom."""
_LABEL_METRICS: Final = {"f1_label": "F1", "recall_label": "Recall", "precision_label": "Precision"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table of the page: texts, and a CSS class for what it says."""

    texts: tuple[str, ...]
    css: str = ""
    best: tuple[int, ...] = ()
    """Places of texts in bold type."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A table of the page."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int = 0
    """Rows that stand in the files beside the page only."""


def comparison_listings(compared: Sequence[Comparison], best: Sequence[BestArm]) -> tuple[Listing, ...]:
    """One table a column; when there are too many pairs, those with the best arm of their column."""
    tops = {one.column.key: one.best.key for one in best}
    by_column: dict[Any, list[Comparison]] = defaultdict(list)
    for one in compared:
        by_column[one.column.key].append(one)
    fits = len(compared) <= MOST_COMPARISONS
    room = max(5, MOST_COMPARISONS // max(1, len(by_column)))
    listings = []
    for key, pairs in by_column.items():
        shown = pairs if fits else [p for p in pairs if tops.get(key) in (p.first.key, p.second.key)][:room]
        listings.append(
            Listing(
                caption=pairs[0].column.title,
                columns=(
                    "First",
                    "Second",
                    "Difference (points)",
                    "95 % interval",
                    "p (Holm)",
                    "p, these models (Holm)",
                    "Verdict",
                    "To settle it",
                ),
                rows=tuple(_comparison_row(one) for one in shown),
                left_out=len(pairs) - len(shown),
            )
        )
    return tuple(listings)


def _comparison_row(one: Comparison) -> Row:
    css = {
        Verdict.FIRST: "decided",
        Verdict.SECOND: "decided",
        Verdict.EQUIVALENT: "equal",
        Verdict.UNDECIDED: "open",
        Verdict.NOT_COMPARED: "quiet",
    }[one.verdict]
    titles = [
        arm.title + (MARK_SIGN if marked else "")
        for arm, marked in zip((one.first, one.second), one.marked, strict=True)
    ]
    if one.difference is None:
        return Row(texts=(*titles, "", "", "", "", str(one.verdict), one.reason), css=css)
    interval = "" if one.low is None or one.high is None else f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    texts = (
        *titles,
        f"{100 * one.difference:+.1f}",
        interval,
        _p_text(one.p_holm),
        _p_text(one.p_rows),
        str(one.verdict),
        one.settles,
    )
    return Row(texts=texts, css=css)


def _p_text(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def label_frame(results: Results, split: str = "test") -> pd.DataFrame:
    """Numbers of single labels with what they belong to: cell_id, name, label, value; empty when none was measured."""
    table = results.metrics
    chosen = table[(table["split"] == split) & table["label"].astype(bool)]
    return chosen[["cell_id", "name", "label", "value"]]


def label_listings(results: Results, found: Sequence[Estimate], best: Sequence[BestArm]) -> tuple[Listing, ...]:
    """For the best arm of every column, the labels it does best and worst on."""
    name = next((name for name in _LABEL_METRICS if name in results.names("test")), None)
    if name is None:
        return ()
    places = {(one.arm.key, one.column.key): one for one in found}
    cells = {cell for top in best for cell in places[top.best.key, top.column.key].cells}
    frame = results.numbers(name, "test")
    by_cell: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for cell, label, value in zip(frame["cell_id"], frame["label"], frame["value"], strict=True):
        if cell in cells and label and not pd.isna(value):
            by_cell[cell].append((str(label), float(value)))
    listings = []
    for top in best:
        values: dict[str, list[float]] = defaultdict(list)
        for cell in places[top.best.key, top.column.key].cells:
            for label, value in by_cell.get(cell, ()):
                values[label].append(value)
        means = sorted(((statistics.fmean(each), label) for label, each in values.items()), key=lambda x: (-x[0], x[1]))
        if means:
            listings.append(_label_listing(f"{top.column.title}: {top.best.title}", name, means))
    return tuple(listings)


def _label_listing(caption: str, name: str, means: Sequence[tuple[float, str]]) -> Listing:
    few = len(means) <= 2 * ENDS
    shown = list(means) if few else [*means[:ENDS], *means[-ENDS:]]
    rows = [Row(texts=(label, f"{100 * value:.1f}")) for value, label in shown]
    if not few:
        rows.insert(ENDS, Row(texts=("…", f"{len(means) - 2 * ENDS} more"), css="quiet"))
    return Listing(caption=caption, columns=("Label", f"{_LABEL_METRICS[name]} (%)"), rows=tuple(rows))


def failure_listings(results: Results, facts: Facts) -> tuple[Listing, ...]:
    """What failed, by reason, and which cells; then what was not run to its end."""
    cells = results.declared_cells
    failed = [cell for cell in cells if cell["state"] == "failed"]
    waiting = [cell for cell in cells if cell["state"] not in ("failed", "done")]
    listings = []
    if failed:
        counts = Counter((cell["kind"] or "failed", one_line(cell["reason"] or "no reason kept")) for cell in failed)
        order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        listings.append(
            Listing(
                caption="Failures by reason",
                columns=("Kind", "Reason", "Cells"),
                rows=tuple(Row(texts=(kind, reason, str(n)), css="failed") for (kind, reason), n in order[:MOST_CELLS]),
                left_out=max(0, len(order) - MOST_CELLS),
            )
        )
    for caption, group in (("Failed cells", failed), ("Cells not run to their end", waiting)):
        if group:
            listings.append(
                Listing(
                    caption=caption,
                    columns=("Cell", "Title", "State", "Log"),
                    rows=tuple(_cell_row(cell, facts) for cell in group[:MOST_CELLS]),
                    left_out=max(0, len(group) - MOST_CELLS),
                )
            )
    return tuple(listings)


def cell_title(cell: Mapping[str, Any], facts: Facts) -> str:
    """A cell in words."""
    known = facts.cells.get(cell["cell_id"])
    if known is not None:
        return known.title.removeprefix("- ")  # of a baseline, which has no model
    parts = (cell["model"], cell["strategy"], cell["num_labels"], cell["num_samples"], cell["seed"])
    return " ".join(str(part) for part in parts if part is not None)


def _cell_row(cell: Mapping[str, Any], facts: Facts) -> Row:
    known = facts.cells.get(cell["cell_id"])
    state = f"{cell['state']} ({cell['kind']})" if cell["kind"] else str(cell["state"])
    return Row(texts=(cell["cell_id"], cell_title(cell, facts), state, known.log if known else ""))


def mark_listing(results: Results) -> Listing | None:
    """Every departure from the declaration, with how many cells carry it."""
    counts = Counter(mark for marks in results.declared["marks"] for mark in marks or ())
    if not counts:
        return None
    rows = (Row(texts=(mark, str(n))) for mark, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Listing(caption="Marks: departures from the declaration", columns=("Mark", "Cells"), rows=tuple(rows))


def provenance_listings(results: Results, facts: Facts, found: Sequence[Estimate]) -> tuple[Listing, ...]:
    """How numbers were computed and on which rows."""
    listings = []
    computed = facts.hardware or _from_cells(results)
    rows = [Row(texts=(name.replace("_", " "), _counted(counts))) for name, counts in computed.items() if counts]
    if rows:
        listings.append(Listing(caption="Hardware and numerics", columns=("What", "Value"), rows=tuple(rows)))
    versions = [Row(texts=(name, _counted(counts))) for name, counts in facts.versions.items()]
    if versions:
        listings.append(Listing(caption="Versions", columns=("Package", "Version"), rows=tuple(versions)))
    revisions = [Row(texts=(name, revision)) for name, revision in facts.revisions.items()]
    if revisions:
        listings.append(Listing(caption="Pinned revisions", columns=("What", "Revision"), rows=tuple(revisions)))
    data = _data_listing(facts, found)
    return (*listings, *([data] if data is not None else []))


def _from_cells(results: Results) -> dict[str, dict[str, int]]:
    cells = results.declared
    done = cells[cells["state"] == "done"]
    return {name: dict(sorted(Counter(str(v) for v in done[name] if v is not None).items())) for name in PROVENANCE}


def _counted(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({number} cells)" for value, number in counts.items())


def _data_listing(facts: Facts, found: Sequence[Estimate]) -> Listing | None:
    rows = []
    for column in columns_of(found):
        ids = [cell for one in found if one.column.key == column.key for cell in one.cells]
        hashes = data_hashes(facts, ids)
        if any(hashes.values()):
            counts = next((facts.cells[cell].counts for cell in ids if cell in facts.cells), {})
            sizes = " / ".join(str(counts.get(f"num_{split}", "?")) for split in hashes)
            css = "open" if len(hashes["test"]) > 1 else ""
            rows.append(Row(texts=(column.title, sizes, *(_short(found) for found in hashes.values())), css=css))
    if not rows:
        return None
    return Listing(
        caption="Data: hashes of the rows (first 12 characters); in a column all arms should share the test rows",
        columns=("Column", "Rows: train / validation / test", "Train", "Validation", "Test"),
        rows=tuple(rows),
    )


def _short(hashes: Sequence[str]) -> str:
    if len(hashes) > 3:
        return f"{len(hashes)} different"
    return " ".join(one[:12] for one in hashes)


def notes_of(results: Results, found: Sequence[Estimate], style: MetricStyle, facts: Facts) -> tuple[str, ...]:
    """What a reader must know before trusting any number."""
    notes = []
    cells = results.declared
    states = Counter(cells["state"])
    open_cells = sum(n for state, n in states.items() if state not in ("done", "failed"))
    if states["failed"]:
        notes.append(f"{states['failed']} of {len(cells)} declared cells failed: see what failed.")
    if open_cells:
        notes.append(
            f"{open_cells} of {len(cells)} declared cells are not done yet: the same command goes on with them."
        )
    retired = len(results.cells) - len(cells)
    if retired:
        notes.append(f"{retired} cells are no longer declared (retired) and left out.")
    most = max((len(one.seeds) for one in found), default=0)
    if most == 1:
        notes.append(
            "Every arm has one seed: intervals and comparisons allow for other test rows only, and speak of these "
            "trained models, not of the arms. Another training could give other numbers; more seeds would tell."
        )
    elif most == 2:
        notes.append("Arms have two seeds at most: intervals are wide because two say little about all others.")
    if any(one.mean is not None for one in found) and all(one.answers is None for one in found):
        notes.append(
            f"Arms are not compared by tests: there are no predictions of single rows for {style.name}. "
            "Its intervals are over the seeds alone."
        )
    for name in PROVENANCE:
        trained = cells[(cells["state"] == "done") & ~cells["baseline"].astype(bool)]
        values = Counter(str(value) for value in trained[name] if value is not None)
        if len(values) > 1:
            shown = ", ".join(f"{value} ({n})" for value, n in sorted(values.items()))
            notes.append(f"Mixed {name.replace('_', ' ')}: {shown}; compare with care.")
    mixed = [name for name, versions in facts.versions.items() if len(versions) > 1]
    if mixed:
        notes.append(f"Mixed versions of {', '.join(mixed)}: see provenance.")
    marked = sum(bool(marks) for marks in cells["marks"])
    if marked:
        notes.append(f"{marked} cells depart from their declaration: see marks.")
    return tuple(notes)
