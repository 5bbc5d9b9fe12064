"""What grid a data set can carry: label counts, sizes, splits and lengths for a first config."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jobs.data.inspecting import Inspection
from jobs.data.preparing import facts
from jobs.errors import UserError
from jobs.spec import DataSpec

ROWS_PER_LABEL: Final = (40, 20)
"""A label with fewer is left out, as test and validation rows leave too little to train on; the second number holds
where the first leaves no two labels."""
_MOST_ROWS: Final = 4000
"""Largest training set of a first grid: enough to see the curve, small enough to finish."""
_LENGTHS: Final = (32, 64, 128, 256, 512)
_TOKENS_PER_WORD: Final = 1.5
_MOST_LISTED: Final = 8
_LABEL_CHARACTERS: Final = 40
_SAID: Final = {
    "texts_blank_dropped": "rows without a text, which are left out",
    "rows_without_label_dropped": "rows without a label, which are left out",
    "texts_surrogates_replaced": "texts with characters that do not exist, which are replaced",
    "texts_huge": "texts of more than 10,000 characters, of which training sees the first tokens alone",
    "texts_nul": "texts with NUL characters",
}
"""What a person should know of the counts of reading; the others change nothing."""


@dataclass(frozen=True, kw_only=True)
class FirstGrid:
    """The axes and rows of a first config."""

    data: DataSpec
    num_labels: tuple[int, ...]
    """Empty: all labels at once."""
    num_samples: tuple[int | None, ...]
    """None: all rows."""
    max_length: int
    test_rows: tuple[int, int]
    """With the fewest and with the most labels."""
    rare_labels: Mapping[str, int]
    """Labels with too few rows to be used, and their rows."""


def first_grid(data: DataSpec, found: Inspection) -> FirstGrid:
    """Choose what a first grid should vary.

    Args:
        data: source, columns and task; its rows can be read.
        found: facts about these rows.
    Returns:
        axes that the rows can supply.
    Raises:
        UserError: fewer than two labels have enough rows, or a multi-label set has no splits of its own.
    """
    if {"train", "test"} <= found.split_rows.keys():
        return _with_own_splits(data, found)
    if data.task == "multi_label":
        raise UserError(
            "rows with several labels need train and test files of their own: put train.csv and test.csv into one"
            " folder and run `finegrid init FOLDER`"
        )
    return _with_fixed_test(data, found)


def _with_own_splits(data: DataSpec, found: Inspection) -> FirstGrid:
    overlap = "drop" if found.leaked_rows else data.overlap
    data = replace(data, protocol="official", overlap=overlap)
    limits = facts(data).limits
    most = limits[-1]
    sizes = [size for size in (_rounded(most / 16), _rounded(most / 4)) if size >= 2 * (len(limits) - 1)]
    test = found.split_rows["test"]
    return FirstGrid(
        data=data,
        num_labels=(),
        num_samples=(*dict.fromkeys(sizes), None),
        max_length=_max_length(found),
        test_rows=(test, test),
        rare_labels={},
    )


def _with_fixed_test(data: DataSpec, found: Inspection) -> FirstGrid:
    usable = facts(replace(data, protocol="nested", test_per_label=1, validation_per_label=1)).label_counts
    rows = {label: count + 2 if count else found.label_counts[label] for label, count in usable.items()}
    enough = [[count for count in rows.values() if count >= minimum] for minimum in ROWS_PER_LABEL]
    kept = next((counts for counts in enough if len(counts) >= 2), None)
    if kept is None:
        listed = ", ".join(f"{_cut(label)} {count}" for label, count in list(rows.items())[:_MOST_LISTED])
        listed += f" and {len(rows) - _MOST_LISTED} more" if len(rows) > _MOST_LISTED else ""
        raise UserError(
            f"fewer than two labels have {ROWS_PER_LABEL[-1]} different texts ({listed}): too few for training,"
            " validation and test"
        )
    rarest = min(kept)
    data = replace(
        data,
        protocol="nested",
        test_per_label=min(100, max(5, round(rarest * 0.2))),
        validation_per_label=min(25, max(2, round(rarest * 0.1))),
    )
    known = facts(data)
    counts = _label_counts(min(len(kept), known.max_labels))
    smallest = 2 * counts[-1]
    if min(known.max_samples(count) for count in counts) < smallest:
        counts = counts[-1:]  # one set of sizes serves all counts: what few labels have is too little for many
    most = min(min(known.max_samples(count) for count in counts), _MOST_ROWS)
    sizes = [size for size in (_rounded(most / 4), _rounded(most / 2), _rounded(most)) if size >= smallest]
    return FirstGrid(
        data=data,
        num_labels=counts,
        num_samples=tuple(dict.fromkeys(sizes or [most])),
        max_length=_max_length(found),
        test_rows=(counts[0] * data.test_per_label, counts[-1] * data.test_per_label),
        rare_labels={label: count for label, count in rows.items() if count < rarest},
    )


def _label_counts(most: int) -> tuple[int, ...]:
    """2, 4, 8, ... and all of them."""
    powers = [2**power for power in range(1, most.bit_length()) if 2**power <= min(most, 16)]
    return tuple(dict.fromkeys([*powers, most]))


def _rounded(rows: float) -> int:
    """Down to a number that people like: 1,234 -> 1,200, 91 -> 90."""
    step = 10 ** max(1, math.floor(math.log10(max(rows, 1))) - 1)
    return int(rows // step * step)


def _max_length(found: Inspection) -> int:
    """Tokens that hold 95 % of the texts, roughly: the tokenizer is not known yet."""
    tokens = found.words[1] * _TOKENS_PER_WORD + 4
    return next((length for length in _LENGTHS if length >= tokens), _LENGTHS[-1])


def _cut(label: str) -> str:
    return label if len(label) <= _LABEL_CHARACTERS else f"{label[: _LABEL_CHARACTERS - 3]}..."


def _looks_alike(labels: Sequence[str]) -> list[str]:
    """Labels that a person would call one."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault("".join(label.split()).casefold(), []).append(label)
    alike = [" and ".join(map(_cut, group)) for group in groups.values() if len(group) > 1][:_MOST_LISTED]
    return [f"labels that differ in case or spaces alone are different labels: {'; '.join(alike)}"] if alike else []


def half_width(test_rows: int) -> float:
    """Half a 95 % interval of one cell's accuracy near 0.5: 1.96 sqrt(0.25 / n)."""
    return 1.96 * math.sqrt(0.25 / max(test_rows, 1))


def warnings(found: Inspection, grid: FirstGrid) -> Sequence[str]:
    """What a person should know before paying for a run, one sentence each."""
    said = []
    if grid.rare_labels:
        rare = list(grid.rare_labels.items())[:_MOST_LISTED]
        listed = ", ".join(f"{_cut(label)} ({rows})" for label, rows in rare)
        more = f" and {len(grid.rare_labels) - _MOST_LISTED} more" if len(grid.rare_labels) > _MOST_LISTED else ""
        said.append(f"left out, too few different texts: {listed}{more}")
    if found.rows_with_several_labels and grid.data.task == "single_label":
        said.append(
            f"{found.rows_with_several_labels:,} rows have several labels and are left out of a single-label grid"
        )
    if found.repeated_texts:
        said.append(f"{found.repeated_texts:,} rows repeat the text of an earlier row; a repeated text counts once")
    if found.contradictions:
        said.append(
            f"{found.contradictions:,} texts stand there with different labels: no model can get all of them right"
        )
    if found.leaked_rows:
        said.append(f"{found.leaked_rows:,} test rows stand in train or validation, too; the config drops them there")
    said += [f"{what}: {found.dropped[name]:,}" for name, what in _SAID.items() if found.dropped.get(name)]
    said += _looks_alike(list(found.label_counts))
    counts = [count for count in found.label_counts.values() if count]
    if grid.data.protocol == "official" and counts and max(counts) > 10 * min(counts):
        said.append("labels differ in size more than tenfold: read macro-F1 rather than accuracy")
    margin = half_width(grid.test_rows[0])
    if margin > 0.03:
        said.append(
            f"{grid.test_rows[0]:,} test rows: a single cell's accuracy is known to about {100 * margin:.0f} points"
            " (95 %); smaller differences need more rows or seeds"
        )
    if found.words[1] * _TOKENS_PER_WORD + 4 > _LENGTHS[-1]:
        said.append(f"long texts are cut to {_LENGTHS[-1]} tokens; `recipe.truncation: left` keeps their ends")
    return said
