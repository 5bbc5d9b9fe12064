"""`finegrid init DATA`: look at somebody's own data, say what grid it can carry, write a commented config for it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grid.cells import declared_cells
from grid.config import check_document
from grid.config_yaml import parse_yaml
from grid.escape import visible
from grid.first_grid import FirstGrid, first_grid, warnings
from grid.paths import expanded
from grid.resolve import OfflineResolver
from jobs.data.columns import FoundColumns, find_columns
from jobs.data.files import find_files
from jobs.data.inspecting import Inspection, inspect_corpus
from jobs.data.loading import read_rows
from jobs.data.rows import Corpus
from jobs.durable import disk_problem
from jobs.errors import BugError, ConfigError, DataError, UserError
from jobs.spec import DataSpec

DEFAULT_MODELS: Final = ("distilbert-base-uncased", "bert-base-uncased")
_NAMED_COLUMNS: Final = ("csv", "tsv", "jsonl", "parquet")
_MOST_LABELS_SHOWN: Final = 30
_MOST_BAD: Final = 0.1
"""With a larger share of bad rows the file is wrong, not the rows."""


@dataclass(frozen=True, kw_only=True)
class InitReport:
    """What was found and written."""

    source: str
    columns: str
    """Where texts and labels stand; empty where the format says it."""
    found: Inspection
    grid: FirstGrid
    warnings: tuple[str, ...]
    num_cells: int
    config: str
    """The file written."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "data": self.source,
            "config": self.config,
            "num_cells": self.num_cells,
            "num_labels": list(self.grid.num_labels) or "all",
            "num_samples": ["all" if size is None else size for size in self.grid.num_samples],
            "warnings": list(self.warnings),
            "found": {name: _plain(value) for name, value in vars(self.found).items()},
            "exit_code": 0,
        }

    def render(self, console: Console) -> None:
        """Print the report for people."""
        found = self.found
        splits = ", ".join(f"{name} {rows:,}" for name, rows in found.split_rows.items())
        lines = [
            f"{visible(self.source)}: {found.num_rows:,} rows{f' ({splits})' if splits else ''}, "
            f"{len(found.label_counts)} labels",
            "{}words a text: median {:,}, 95 % up to {:,}, most {:,}".format(self.columns, *found.words),
        ]
        for line in lines:
            console.print(Text(visible(line)), soft_wrap=True)
        table = Table("label", "rows", box=None, pad_edge=False)
        for label, rows in list(found.label_counts.items())[:_MOST_LABELS_SHOWN]:
            table.add_row(Text(visible(label)), f"{rows:,}")
        console.print(table)
        if len(found.label_counts) > _MOST_LABELS_SHOWN:
            console.print(f"and {len(found.label_counts) - _MOST_LABELS_SHOWN} more")
        for warning in self.warnings:
            console.print(Text(f"note: {visible(warning)}", "yellow"), soft_wrap=True)
        console.print(Text(f"\nwrote {visible(self.config)}: {self.num_cells} cells. Next:", "bold"), soft_wrap=True)
        console.print(Text(f"  finegrid plan {visible(self.config)}\n  finegrid run {visible(self.config)}"))


def init_config(
    source: str,
    *,
    out: Path | None = None,
    models: Sequence[str] = (),
    text_column: str | None = None,
    label_column: str | None = None,
) -> InitReport:
    """Look at a data set and write a config for it.

    Args:
        source: a file, or a folder with a file for each split.
        out: config to write; default: `<name of the data>.yaml` in the working folder.
        models: for axes.model; default: two small ones of the hub.
        text_column: where it is not the one that looks like texts.
        label_column: where it is not the one that looks like labels.
    Returns:
        what was found and written.
    Raises:
        UserError: the data cannot be read or carries no grid, or the config exists already; nothing was written.
    """
    path = expanded(source)
    name = _grid_name(path.resolve() if out is None else out)
    out = out if out is not None else Path(f"{name}.yaml")
    if out.exists():
        raise UserError(f"{out} exists already and is left as it is; name another file with --out")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}")
    files = find_files(str(path), "auto")
    is_named = files.format in _NAMED_COLUMNS
    data = DataSpec(source="files", path=str(path))
    if is_named:
        data = _with_columns(data, find_columns(files.files[0][0], files.format, text=text_column, label=label_column))
    data, corpus, left_out = _usable_rows(data)
    found = inspect_corpus(corpus)
    grid = first_grid(data, found)
    text = config_text(name, grid, source=_from_here(path), models=models or DEFAULT_MODELS, file=str(out))
    num_cells = _checked_cells(text)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise disk_problem(out, error) from error
    said = (*left_out, *_header_warnings(data, found), *warnings(found, grid))
    return InitReport(
        source=source,
        columns=_columns(data) if is_named else "",
        found=found,
        grid=grid,
        warnings=said,
        num_cells=num_cells,
        config=str(out),
    )


def _usable_rows(data: DataSpec) -> tuple[DataSpec, Corpus, tuple[str, ...]]:
    """The rows, without the bad ones where they are few: nobody has a config yet to say so in.

    Returns:
        the data with what the config must say, its rows, and what a person should know of it.
    Raises:
        DataError: unreadable, or too many bad rows.
    """
    try:
        return data, read_rows(data), ()
    except DataError as error:
        first = str(error).split("\n", maxsplit=1)[0]
        lenient = replace(data, bad_rows="drop", max_bad_fraction=_MOST_BAD)
        try:
            corpus = read_rows(lenient)
        except DataError:
            raise error from None
    number = corpus.counts["bad_rows_dropped"]
    percent = math.floor(100 * number / corpus.counts["rows_read"]) + 1
    said = f"{number:,} bad rows are left out, as the config says (bad_rows: drop); the first: {first}"
    return replace(lenient, max_bad_fraction=percent / 100), corpus, (said,)


def _header_warnings(data: DataSpec, found: Inspection) -> list[str]:
    """A file without a header line loses its first row, and its columns get odd names."""
    name = data.label_column
    if data.label_columns or name not in found.label_counts:
        return []
    return [
        f"the first line is taken as names of columns, and the one of the labels, {name!r}, is a label, too:"
        " if that line is a row, put a line with names above it, such as text,label"
    ]


def _from_here(path: Path) -> str:
    """As short as it can be said in the working folder, from which configs count."""
    here = Path.cwd()
    return str(path.resolve().relative_to(here)) if path.resolve().is_relative_to(here) else str(path.resolve())


def _with_columns(data: DataSpec, found: FoundColumns) -> DataSpec:
    return replace(
        data,
        text_column=found.text,
        label_column=found.label or data.label_column,
        label_columns=found.one_hot,
        task="multi_label" if found.several_labels else "single_label",
    )


def _grid_name(path: Path) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in path.stem).strip("-_")
    return name[:60].lower() or "my-grid"


def config_text(name: str, grid: FirstGrid, *, source: str, models: Sequence[str], file: str) -> str:
    """The config as commented YAML; every value is written as JSON, which YAML reads as it stands.

    Args:
        name: of the grid.
        grid: its axes and rows.
        source: the data, as the config names them.
        models: for axes.model.
        file: where the config will stand.
    """
    data = grid.data
    is_multi = data.task == "multi_label"
    axes: dict[str, tuple[list[Any], str]] = {
        "model": (list(models), "known names, owner/name on the hub, or folders"),
        "strategy": (["lora", "head"], "lora: adapters; head: frozen base; full: everything; qlora: 4-bit base"),
        "num_labels": (list(grid.num_labels), "label sets nest: the 2 most frequent lie in the 4, and so on"),
        "num_samples": (
            ["all" if size is None else size for size in grid.num_samples],
            "training rows; smaller sets lie in larger ones",
        ),
        "seed": ([0, 1, 2, 3, 4], "draws the training rows and trains; five give intervals worth reading"),
    }
    lines = [
        f"# A first grid on {visible(source)}, written by `finegrid init`.",
        "#",
        f"#   finegrid plan {visible(file)}     what would run, and why",
        f"#   finegrid run {visible(file)}      the same command again resumes",
        f"name: {_value(name)}",
        "",
        "axes:                                 # every combination is a cell",
        *(f"  {_keyed(key, values)}{comment}" for key, (values, comment) in axes.items() if values),
        "",
        "dataset:",
        *(f"  {line}" for line in _dataset_lines(grid, source)),
        "",
        "recipe:",
        "  epochs: 5",
        "  batch_size: 8",
        "  schedule: cosine",
        "  warmup_ratio: 0.1",
        "  eval_every: epoch",
        "  patience: 3                         # evaluations without improvement on validation rows",
        f"  select_on: {'f1_macro' if is_multi or data.protocol == 'official' else 'accuracy'}",
        f"  max_length: {grid.max_length:<25}# tokens; holds about 95 % of the texts",
        "",
        "per_strategy:                         # each strategy at a rate that suits it",
        "  lora: {recipe: {learning_rate: 5.0e-4}}",
        "  head: {recipe: {learning_rate: 5.0e-3}}",
        "",
        "lora: {r: 8, alpha: 16, dropout: 0.05}",
        "baselines: [majority, tfidf]          # what a model must beat to be worth its price",
    ]
    return "\n".join(lines) + "\n"


def _dataset_lines(grid: FirstGrid, source: str) -> list[str]:
    data = grid.data
    lines = ["source: files", f"path: {_value(source)}", f"task: {data.task}", f"protocol: {data.protocol}"]
    if data.label_columns:
        lines += [f"text_column: {_value(data.text_column)}", f"label_columns: {_value(list(data.label_columns))}"]
    else:
        lines += [f"text_column: {_value(data.text_column)}", f"label_column: {_value(data.label_column)}"]
    if data.protocol == "nested":
        lines += [
            f"test_per_label: {data.test_per_label:<19}# fixed rows, the same for all sizes and seeds",
            f"validation_per_label: {data.validation_per_label}",
        ]
    elif data.overlap == "drop":
        lines.append("overlap: drop                       # test texts that stand in train are taken out of train")
    if data.bad_rows == "drop":
        lines.append("bad_rows: drop                     # as long as they are few:")
        lines.append(f"max_bad_fraction: {data.max_bad_fraction:g}")
    return lines


def _keyed(key: str, values: list[Any]) -> str:
    return f"{f'{key}: {_value(values)}':<35} # "


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _checked_cells(text: str) -> int:
    """The number of cells the config declares.

    Raises:
        ConfigError: there are no such models.
        BugError: our own config is refused.
    """
    document, problems = parse_yaml(text, "the config")
    config, faults = check_document(document) if isinstance(document, dict) else (None, [])
    if faults and not problems and all(fault.path.startswith("axes.model") for fault in faults):
        raise ConfigError([replace(fault, path="--model") for fault in faults])
    if config is None or problems or faults:
        raise BugError("the written config is refused: " + "; ".join(str(fault) for fault in [*problems, *faults]))
    return len(declared_cells(config, OfflineResolver()))


def _columns(data: DataSpec) -> str:
    labels = f"{len(data.label_columns)} columns of 0 and 1" if data.label_columns else repr(data.label_column)
    several = " (several a row)" if data.task == "multi_label" else ""
    return f"texts in {data.text_column!r}, labels in {labels}{several}; "


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "items") else value
