"""The README.md beside exported weights: what the cell is, how good with which uncertainty, on which data, how trained.

In the form of the Hugging Face hub, so that the folder can be shared as it is. Nothing of the machine stands in it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from scipy.stats import binomtest

from jobs.errors import one_line
from jobs.plain_json import to_json
from jobs.spec import CellResult, CellSpec, MetricValue, Strategy

CARD_FILE: Final = "README.md"
_SHOWN: Final = (
    *("accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "f1_weighted", "matthews"),
    *("subset_accuracy", "hamming_loss", "average_precision_macro", "ece", "loss"),
)
_SPLITS: Final = ("train", "validation", "test")
_MOST_LABELS: Final = 200


def model_card(result: CellResult) -> str:
    """Write the card of a finished cell.

    Args:
        result: of the cell.
    Returns:
        Markdown with YAML in front; every text of a config or a data set is quoted.
    """
    cell = result.cell
    parts = [
        f"---\n{_front_matter(cell)}---",
        f"# {html.escape(_plain(cell.title))}",
        f"Cell `{cell.cell_id}` of grid `{_plain(cell.grid)}`, by FineGrid.",
        f"## Labels\n\n{_labels(result.label_names)}",
        f"## Test\n\n{_metrics(result)}",
        f"## Data\n\n{_facts(_data(result))}",
        f"## Training\n\n{_facts(_training(cell))}",
        *([f"## Marks\n\n{_list(f'`{_plain(mark)}`' for mark in result.marks)}"] if result.marks else []),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(cell: CellSpec) -> str:
    model = cell.model
    # A folder of somebody's machine is no name that others could use.
    base = None if model is None else model.location if model.source == "hub" else model.name
    values = {
        "base_model": base,
        "library_name": _library(cell.strategy),
        "pipeline_tag": "text-classification",
        "tags": ["finegrid", str(cell.strategy)],
    }
    # JSON is YAML, and quotes whatever a name may hold.
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items() if value is not None)


def _library(strategy: Strategy) -> str:
    if strategy is Strategy.CHAIN:
        return "scikit-learn"
    return "peft" if strategy.has_peft_folder else "transformers"


def _labels(names: tuple[str, ...]) -> str:
    shown = [f"{number}. `{_plain(name)}`" for number, name in enumerate(names[:_MOST_LABELS])]
    return "\n".join([*shown, *([f"and {len(names) - _MOST_LABELS} more"] if len(names) > _MOST_LABELS else [])])


def _metrics(result: CellResult) -> str:
    tests = {metric.name: metric for metric in result.metrics if metric.split == "test" and not metric.label}
    rows = result.counts.get("num_test", 0)
    lines = ["| metric | value |", "|-|-|"]
    for name in _SHOWN:
        if name in tests:
            lines.append(f"| {name} | {_value(tests[name], rows)} |")
    note = f"{rows} test rows"
    if "accuracy" in tests:
        note += "; the interval is Wilson's (95 %) over these rows, for this one training"
    return "\n".join([*lines, "", note + "."])


def _value(metric: MetricValue, rows: int) -> str:
    if metric.value is None:
        return f"undefined: {html.escape(_plain(str(metric.undefined)))}"
    if metric.name != "accuracy" or rows < 1:
        return f"{metric.value:.4f}"
    interval = binomtest(round(metric.value * rows), rows).proportion_ci(method="wilson")
    return f"{metric.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"


def _data(result: CellResult) -> dict[str, Any]:
    data, counts = result.cell.data, result.counts
    source = {"hub": data.id, "builtin": "built-in corpus"}.get(data.source, "local files")
    splits = ", ".join(
        f"{counts[f'num_{name}']} {name}" for name in ("train", "validation", "test") if counts.get(f"num_{name}")
    )
    return {
        "source": source,
        "revision": data.revision if data.source != "files" else None,
        "task": data.task,
        "protocol": data.protocol,
        "rows": splits,
        "sha256 of train, validation and test rows": ", ".join(
            str(result.hashes[name])[:12] for name in _SPLITS if result.hashes.get(name)
        ),
    }


def _training(cell: CellSpec) -> dict[str, Any]:
    sections: dict[str, Any] = {"strategy": str(cell.strategy), "seed": cell.seed}
    if cell.model is not None:
        sections["base revision"] = cell.model.revision
    for name in ("recipe", *cell.strategy.sections, "family"):
        section = getattr(cell, name)
        if section is not None:
            sections[name] = json.dumps(to_json(section), sort_keys=True)
    return sections


def _facts(values: Mapping[str, Any]) -> str:
    return _list(f"{key}: `{_plain(str(value))}`" for key, value in values.items() if value not in (None, ""))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _plain(text: str) -> str:
    """On one line, and no end of the code span that holds it."""
    return one_line(text, limit=2000).replace("`", "'")
