"""The page of one cell: numbers, curves, confusions, calibration, logs, provenance, and the command that repeats it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import matplotlib
from markupsafe import Markup
from matplotlib.colors import to_hex

from analysis.cell_page_charts import curve_charts, reliability_charts
from analysis.cell_page_log import LogExcerpt, Logs
from analysis.crossed import share_interval, share_parts
from analysis.figures.evidence import (
    CURVES,
    RELIABILITY,
    Truth,
    confusion_of,
    label_tables,
    pooled_bins,
    read_columns,
    read_truth,
)
from analysis.heatmap_layout import axis_text
from analysis.loading import COST_SPLIT, COSTS, SOLO_COSTS, Results, is_nothing
from analysis.report_facts import CellFacts, Facts, repeat_command
from analysis.report_sections import Listing, Row
from analysis.style import ink_on, metric_style

MOST_CELLS: Final = 500
"""Larger grids have no pages of single cells."""
MOST_CLASSES: Final = 40
"""Labels of a confusion matrix on a page."""
SHADES: Final = 20
_ID: Final = re.compile(r"[0-9a-f]{16}")
_LABEL_NUMBERS: Final = (
    "support_label",
    "f1_label",
    "precision_label",
    "recall_label",
    "average_precision_label",
    "roc_auc_label",
    "f1_label_at_label_thresholds",
)
_THRESHOLD: Final = "best_threshold"
_SPLITS: Final = ("test", "validation")
_FIRST: Final = (
    "accuracy",
    "subset_accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "loss",
    "ece",
)
Number = tuple[str, str, str, Any, Any]
"""Split, name, label, value, and why there is none."""
_HIDDEN: Final = ("host", "pid", "versions")


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix as a table: texts and shades of its tiles."""

    labels: tuple[str, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]
    """Of every true label: text and CSS class of every said one."""


@dataclass(frozen=True, kw_only=True)
class CellPage:
    """Everything that the page of a cell shows."""

    cell_id: str
    title: str
    state: str
    reason: str
    facts: tuple[tuple[str, str], ...]
    marks: tuple[str, ...]
    metrics: Listing | None
    adjusted: Listing | None
    """Numbers after calibration, and at fitted thresholds."""
    curves: tuple[Markup, ...]
    matrix: Matrix | None
    labels: Listing | None
    reliability: tuple[Markup, ...]
    costs: Listing | None
    provenance: Listing | None
    data: Listing | None
    logs: tuple[LogExcerpt, ...]
    command: str
    problem: str
    """Why something that should be here is not; empty otherwise."""


@dataclass(frozen=True, kw_only=True)
class CellSource:
    """A store, with its numbers sorted by cell."""

    results: Results
    facts: Facts
    logs: Logs = field(default_factory=lambda: Logs(None))

    @cached_property
    def numbers(self) -> Mapping[str, list[Number]]:
        """By cell: split, name, label, value, why there is none."""
        table = self.results.metrics
        found: dict[str, list[Number]] = defaultdict(list)
        columns = (table[name] for name in ("cell_id", "split", "name", "label", "value", "undefined"))
        for cell, split, name, label, value, undefined in zip(*columns, strict=True):
            found[cell].append((split, name, label or "", value, undefined))
        return found


def paged_cells(results: Results) -> tuple[str, ...]:
    """The cells that have pages: all declared ones of a grid that is small enough; ids are file names and links."""
    ids = results.declared["cell_id"].tolist()
    return tuple(cell for cell in ids if _ID.fullmatch(str(cell))) if len(ids) <= MOST_CELLS else ()


def cell_pages(results: Results, facts: Facts, root: Path | None) -> Iterator[CellPage]:
    """The pages of all cells that have one.

    Args:
        results: a loaded store.
        facts: of the same store.
        root: the results folder, for logs; None: there are none.
    Returns:
        the pages, one at a time.
    Raises:
        EnvironmentProblem: a file of a result folder is damaged.
    """
    source = CellSource(results=results, facts=facts, logs=Logs(root))
    wanted = set(paged_cells(results))
    for cell in results.declared_cells:
        if cell["cell_id"] in wanted:
            yield cell_page(source, cell)


def cell_page(source: CellSource, cell: Mapping[str, Any]) -> CellPage:
    """The page of one cell, from its row of the table of cells."""
    cell_id = str(cell["cell_id"])
    known = source.facts.cells.get(cell_id) or CellFacts(title=cell_id, log="", axes={})
    folder = source.results.folders.get(cell_id)
    numbers = source.numbers.get(cell_id, [])
    truth = read_truth(folder)
    bins = read_columns(folder, RELIABILITY)
    curves = read_columns(folder, CURVES)
    costs = {name: value for split, name, _, value, _ in numbers if split == COST_SPLIT}
    baseline = cell["strategy"] if cell["baseline"] else None
    metrics, adjusted = _metrics(numbers, truth)
    return CellPage(
        cell_id=cell_id,
        title=known.title,
        state=str(cell["state"]),
        reason=str(cell["reason"] or ""),
        facts=_facts(source.results, cell),
        marks=tuple(cell["marks"] or ()),
        metrics=metrics,
        adjusted=adjusted,
        curves=() if curves is None else curve_charts(curves, costs.get("best_step")),
        matrix=_matrix(truth),
        labels=_labels(numbers, truth),
        reliability=() if bins is None else reliability_charts(pooled_bins([bins])),
        costs=_costs(costs),
        provenance=_provenance(known.provenance),
        data=_data(known),
        logs=source.logs.excerpts(cell_id, known.attempts),
        command=repeat_command(source.facts, [cell_id], baseline=baseline),
        problem=_problem(cell, folder, truth),
    )


def _problem(cell: Mapping[str, Any], folder: Path | None, truth: Truth | None) -> str:
    if cell["state"] != "done":
        return ""
    if folder is None or not folder.is_dir():
        return "The result folder of this cell is not here: only its numbers in the index are shown."
    return "" if truth is not None else "This cell keeps no predictions of single rows."


def _facts(results: Results, cell: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What was declared: every axis that has a value."""
    values = ((axis, cell[axis]) for axis in results.axes)
    return tuple((axis_text(axis), str(value)) for axis, value in values if not is_nothing(value))


def _metrics(numbers: Sequence[Number], truth: Truth | None) -> tuple[Listing | None, Listing | None]:
    """Numbers as they are, the most wanted first, and those that something was fitted for."""
    by_name: dict[str, dict[str, str]] = defaultdict(dict)
    for split, name, label, value, undefined in numbers:
        if split in _SPLITS and not label:
            by_name[name][split] = _number(name, value, undefined)
    if "accuracy" in by_name and truth is not None and not truth.is_multi_label:
        low, high = share_interval(share_parts((truth.labels == truth.predicted)[None, :]))
        by_name["accuracy"]["test"] += f" ({100 * float(low):.1f} to {100 * float(high):.1f})"
    order = sorted(by_name, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    adjusted = [name for name in order if "_after_" in name or "_at_" in name]
    plain = [name for name in order if name not in adjusted]
    return (
        _numbers("Numbers; in brackets: 95 % interval, allowing for other test rows", plain, by_name),
        _numbers("Numbers after calibration, and at fitted thresholds", adjusted, by_name),
    )


def _numbers(caption: str, order: Sequence[str], by_name: Mapping[str, Mapping[str, str]]) -> Listing | None:
    rows = [
        Row(texts=(f"{axis_text(name)}{_unit(name)}", *(by_name[name].get(split, "") for split in _SPLITS)))
        for name in order
    ]
    columns = ("Metric", "Test rows", "Validation rows")
    return Listing(caption=caption, columns=columns, rows=tuple(rows)) if rows else None


def _number(name: str, value: Any, undefined: Any) -> str:
    if is_nothing(value):
        return f"undefined: {undefined or 'no reason given'}"
    return metric_style(name).text(float(value))


def _matrix(truth: Truth | None) -> Matrix | None:
    if truth is None or truth.is_multi_label or len(truth.label_names) > MOST_CLASSES:
        return None
    counts = confusion_of([truth])
    totals = counts.sum(axis=1)
    rows = []
    for row, total in zip(counts, totals, strict=True):
        tiles = []
        for count in row:
            share = count / total if total else 0.0
            tiles.append((f"{count:.0f}" if count else "", f"c{round(share * SHADES)}"))
        rows.append(tuple(tiles))
    return Matrix(labels=truth.label_names, rows=tuple(rows))


def _labels(numbers: Sequence[Number], truth: Truth | None) -> Listing | None:
    """Numbers of single labels, and what was said of rows with and without each where rows carry several."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    present: set[str] = set()
    for split, name, label, value, undefined in numbers:
        if label and ((split == "test" and name in _LABEL_NUMBERS) or name == _THRESHOLD):
            found[label][name] = "undefined" if is_nothing(value) else _number(name, value, undefined)
            present.add(name)
    if not found:
        return None
    columns = [name for name in (*_LABEL_NUMBERS, _THRESHOLD) if name in present]
    heads = [f"{axis_text(name.removesuffix('_label').replace('_label_', '_'))}{_unit(name)}" for name in columns]
    said: dict[str, tuple[str, ...]] = {}
    if truth is not None and truth.is_multi_label:
        heads += ["found", "missed", "said in error"]
        tables = label_tables([truth])
        pairs = zip(truth.label_names, tables, strict=True)
        said = {label: tuple(f"{each:.0f}" for each in (t[1, 1], t[1, 0], t[0, 1])) for label, t in pairs}
    rows = [
        Row(texts=(label, *(own.get(name, "") for name in columns), *said.get(label, ())))
        for label, own in found.items()
    ]
    return Listing(caption="Labels, on test rows", columns=("Label", *heads), rows=tuple(rows))


def _unit(name: str) -> str:
    return metric_style(name).unit


def _costs(costs: Mapping[str, Any]) -> Listing | None:
    rows = []
    for name in COSTS:
        value = costs.get(name)
        if value is not None and not is_nothing(value):
            kind = "alone on the device" if name in SOLO_COSTS else _kind(name)
            rows.append(Row(texts=(axis_text(name.removeprefix("solo_")), metric_style(name).text(float(value)), kind)))
    if not rows:
        return None
    return Listing(caption="Costs", columns=("What", "Value", "Measured"), rows=tuple(rows))


def _kind(name: str) -> str:
    counted = ("trainable_parameters", "total_parameters", "epochs", "best_step", "stopped_step", "total_flops")
    if name in counted:
        return "counted"
    return "of its whole pack" if name == "peak_memory_bytes" else "inside a pack: its share"


def _provenance(provenance: Mapping[str, Any]) -> Listing | None:
    rows = [
        Row(texts=(name.replace("_", " "), str(value)))
        for name, value in sorted(provenance.items())
        if name not in _HIDDEN and value is not None
    ]
    versions = provenance.get("versions") or {}
    rows += [Row(texts=(name, str(version))) for name, version in sorted(versions.items())]
    if not rows:
        return None
    return Listing(caption="How it was computed", columns=("What", "Value"), rows=tuple(rows))


def _data(known: CellFacts) -> Listing | None:
    rows = [Row(texts=(name.replace("_", " "), str(value))) for name, value in sorted(known.counts.items())]
    rows += [Row(texts=(f"hash of {name}", str(value))) for name, value in sorted(known.hashes.items())]
    return Listing(caption="Rows and hashes", columns=("What", "Value"), rows=tuple(rows)) if rows else None


def confusion_rules() -> str:
    """CSS of the shades of a confusion matrix: ground and ink of every step."""
    colours = matplotlib.colormaps["Blues"]
    grounds = [to_hex(colours(step / SHADES)) if step else "#ffffff" for step in range(SHADES + 1)]
    return "\n".join(f".c{i}{{background-color:{g};color:{ink_on(g)}}}" for i, g in enumerate(grounds))
