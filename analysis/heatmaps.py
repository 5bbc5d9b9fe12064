"""Heatmaps of a results folder, for any metric and axes: `python -m analysis.heatmaps RESULTS`."""

from __future__ import annotations

import dataclasses
import difflib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from analysis.aggregate import Key, Pivot, default_axes, pivot
from analysis.arguments import ResultsArgument
from analysis.file_names import distinct, slug
from analysis.heatmap_figure import draw
from analysis.heatmap_layout import axis_text, key_text
from analysis.heatmap_standing import Judged, evidence_of, judged_tiles
from analysis.loading import COST_SPLIT, COSTS, Results, load
from analysis.style import figure_settings, metric_style
from jobs.errors import EnvironmentProblem, FineGridError, UserError
from jobs.storage import Layout, write_atomically

DEFAULT_METRICS: Final = ("accuracy", "f1_macro")
"""What is drawn unless a metric is named: the first that the store has. Rows with several labels have no accuracy."""
DOTS_PER_INCH: Final = 150
_MOST_PIXELS: Final = 30_000
"""Longest side of a PNG: readers and the renderer give up at 65,535."""
_LONGEST_STEM: Final = 100
_VALIDATION_PREFIX: Final = "val_"
_TEST_METRICS: Final = ("accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "f1_weighted", "loss")
"""Metrics that may be asked for before any cell is done."""


def draw_defaults(
    results: Path, *, metric: str | None = None, split: str | None = None, out: Path | None = None
) -> list[Path]:
    """Draw the default figures of a results folder: all models in one picture, and one picture a model.

    Args:
        results: a results folder.
        metric: name of a metric, `val_` in front for validation rows; None: accuracy, or f1_macro where there is none.
        split: test | validation | train; None: test, or what the metric's prefix says.
        out: folder for the files; None: RESULTS/report/heatmaps.
    Returns:
        the files written, PNG and SVG, the picture of all models first.
    Raises:
        UserError: no store there, or no such metric.
        EnvironmentProblem: the index is damaged, or the folder cannot be written.
    Side effects:
        makes the folder; in the default one, removes pictures of models that are gone.
    """
    folder = out or Layout(results).heatmaps
    loaded = load(results)
    name, split = resolve_metric(loaded, metric, split)
    written = _save_all(folder, _default_figures(loaded, name, split))
    if out is None:
        _remove_stale(folder, f"{_file_metric(name, split)}-model-*", written)
    return written


def draw_chosen(
    results: Path, *, metric: str | None, split: str | None, rows: Sequence[str], cols: Sequence[str], out: Path
) -> list[Path]:
    """Draw one figure with chosen axes; an empty choice means the default rows or columns.

    Args:
        results: a results folder.
        metric: as in `draw_defaults`.
        split: as in `draw_defaults`.
        rows: axes of the rows.
        cols: axes of the columns.
        out: folder for the files.
    Returns:
        the files written.
    Raises:
        UserError: no store there, no such metric or axis, an axis in rows and columns.
    """
    loaded = load(results)
    name, split = resolve_metric(loaded, metric, split)
    default_rows, default_cols = default_axes(loaded)
    check_axes(loaded, rows, cols)
    rows = rows or [axis for axis in default_rows if axis not in cols]
    cols = cols or [axis for axis in default_cols if axis not in rows]
    chosen = pivot(loaded, metric=name, split=split, row_axes=rows, col_axes=cols)
    stem = _file_stem(f"{_file_metric(name, split)}-{'-'.join(rows)}-by-{'-'.join(cols)}")
    return _save_all(out, iter([_Picture(stem=stem, shown=chosen, title=_title(chosen))]))


def resolve_metric(results: Results, metric: str | None, split: str | None) -> tuple[str, str]:
    """Find a metric of the store.

    Args:
        results: the tables of a store.
        metric: a name, or `val_` and a name; None: the first of DEFAULT_METRICS that there is.
        split: where it was measured; None: test.
    Returns:
        name and split as they stand in the store.
    Raises:
        UserError: the store has no such metric or not on this split; names the nearest ones.
    """
    metrics = results.metrics[results.metrics["label"].fillna("") == ""]
    pairs = set(zip(metrics["name"], metrics["split"], strict=True)) | {(name, COST_SPLIT) for name in COSTS}
    if not len(metrics):
        pairs |= {(name, split) for name in _TEST_METRICS for split in ("test", "validation")}
    names = {name for name, _ in pairs}
    metric = metric or next((name for name in DEFAULT_METRICS if name in names), DEFAULT_METRICS[0])
    asked = metric
    if metric not in names and metric.startswith(_VALIDATION_PREFIX):
        if split not in (None, "validation"):
            raise UserError(f"--metric {metric} means validation rows, but --split says {split}: give one of them")
        metric, split = metric.removeprefix(_VALIDATION_PREFIX), "validation"
    if metric not in names:
        raise UserError(f"unknown metric {asked!r}: {_nearest(metric, names)}")
    split = COST_SPLIT if metric in COSTS else split or "test"
    if (metric, split) not in pairs:
        found = ", ".join(sorted(where for name, where in pairs if name == metric))
        raise UserError(f"{metric} was not measured on split {split!r}; it is there for: {found}")
    return metric, split


def check_axes(results: Results, rows: Sequence[str], cols: Sequence[str]) -> None:
    """Refuse axes that the store does not have, and one that stands on both sides.

    Raises:
        UserError: names the nearest axes.
    """
    for axis in (*rows, *cols):
        if axis not in results.axes:
            raise UserError(f"unknown axis {axis!r}: {_nearest(axis, results.axes)}")
    twice = sorted({axis for axis in (*rows, *cols) if (*rows, *cols).count(axis) > 1})
    if twice:
        raise UserError(f"axis {', '.join(twice)} is named twice: rows and columns must differ")


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """One heatmap to be saved."""

    stem: str
    shown: Pivot
    title: str
    judged: Mapping[tuple[Key, Key], Judged] = field(default_factory=dict)


def _default_figures(results: Results, metric: str, split: str) -> Iterator[_Picture]:
    """Every default figure: all arms in one, then one a model, with intervals and with signs beside the best."""
    rows, cols = default_axes(results)
    evidence = evidence_of(results, metric, split)
    everything = pivot(results, metric=metric, split=split, row_axes=rows, col_axes=cols)
    yield _Picture(
        stem=f"{_file_metric(metric, split)}-models",
        shown=everything,
        title=_title(everything),
        judged=judged_tiles(everything, evidence),
    )
    data_cols = [axis for axis in cols if axis != "num_labels"]
    stems: set[str] = set()
    for key in everything.rows:
        if key in everything.baseline_rows:
            continue
        one = pivot(_only(results, rows, key), metric=metric, split=split, row_axes=["num_labels"], col_axes=data_cols)
        name = key_text(rows, key, is_baseline=False)
        stem = distinct(f"{_file_metric(metric, split)}-model-{_file_stem(name)}", stems)
        arm = dict(zip(rows, key, strict=True))
        yield _Picture(
            stem=stem, shown=one, title=f"{_title(one)}\n{name}", judged=judged_tiles(one, evidence, arm=arm)
        )


def _only(results: Results, axes: Sequence[str], key: Key) -> Results:
    """The declared cells of one row of the figure of all models."""
    cells = results.declared
    kept = cells[~cells["baseline"].astype(bool)]
    for axis, value in zip(axes, key, strict=True):
        kept = kept[kept[axis].isna() if value is None else kept[axis] == value]
    return dataclasses.replace(results, cells=kept)


def _title(shown: Pivot) -> str:
    unit = metric_style(shown.metric).unit
    where = "" if shown.split == COST_SPLIT else f" on {shown.split} rows"
    return f"{shown.grid}: {axis_text(shown.metric)}{where}{unit}"


def _save_all(folder: Path, pictures: Iterator[_Picture]) -> list[Path]:
    written = []
    for picture in pictures:
        if not picture.shown.rows or not picture.shown.cols:
            raise UserError(f"{picture.shown.grid}: no declared cells to draw")
        written += _save(folder / picture.stem, picture)
    return written


def _save(stem: Path, picture: _Picture) -> list[Path]:
    """Write one figure as PNG and SVG; equal input gives equal bytes."""
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"{stem.parent}: cannot be made ({error.strerror}); choose another with --out"
        ) from error
    paths = []
    with figure_settings():
        figure = draw(picture.shown, title=picture.title, judged=picture.judged)
        longest = max(figure.get_size_inches())
        metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": "FineGrid", "Title": picture.title}}
        for kind, facts in metadata.items():
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=min(DOTS_PER_INCH, _MOST_PIXELS / longest), metadata=facts)
            path = stem.with_name(f"{stem.name}.{kind}")
            write_atomically(path, content.getvalue())
            paths.append(path)
    return paths


def _remove_stale(folder: Path, pattern: str, written: Collection[Path]) -> None:
    for path in sorted(folder.glob(pattern)):
        if path not in written and path.suffix in (".png", ".svg"):
            path.unlink()


def _file_stem(text: str) -> str:
    return slug(text, most=_LONGEST_STEM)


def _file_metric(metric: str, split: str) -> str:
    prefix = {"validation": _VALIDATION_PREFIX, "train": "train_"}.get(split, "")
    return _file_stem(f"{prefix}{metric}")


def _nearest(name: str, known: Collection[str]) -> str:
    near = [option for option in sorted(known) if name and option.startswith(name)]
    near = near or difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{hint}there are {', '.join(sorted(known))}"


def _split_axes(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def command(
    results: ResultsArgument,
    metric: Annotated[str | None, typer.Option(help="Metric [accuracy]; val_ in front for validation rows.")] = None,
    rows: Annotated[str | None, typer.Option(help="Axes of the rows, with commas between.")] = None,
    cols: Annotated[str | None, typer.Option(help="Axes of the columns, with commas between.")] = None,
    split: Annotated[str | None, typer.Option(help="test, validation or train.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures [RESULTS/report/heatmaps].")] = None,
) -> None:
    """Draw heatmaps; without --rows and --cols all models in one picture, and one picture a model."""
    chosen_rows, chosen_cols = _split_axes(rows), _split_axes(cols)
    try:
        if chosen_rows or chosen_cols:
            folder = out or Layout(results).heatmaps
            paths = draw_chosen(results, metric=metric, split=split, rows=chosen_rows, cols=chosen_cols, out=folder)
        else:
            paths = draw_defaults(results, metric=metric, split=split, out=out)
    except FineGridError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, UserError) else 3) from error
    for path in paths:
        typer.echo(path)


def main() -> None:
    """Entry point of `python -m analysis.heatmaps`."""
    typer.run(command)


if __name__ == "__main__":
    main()
