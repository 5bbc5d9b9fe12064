"""The story of an explanation: cells, texts, labels, values, agreement, tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from jobs.errors import UserError
from jobs.explaining.agreement import agreement
from jobs.explaining.attribution import TextScorer, captum_methods, explain
from jobs.explaining.messages import Answer, PairAgreement, Request
from jobs.explaining.tables import Compared, Explained, plain, write_tables
from jobs.explaining.texts import Text, rows_of_test_set, texts_in
from jobs.explaining.tokens import Tokens, stand_in, tokens_of
from jobs.finished_cells import FinishedCell, Shelf, finished_cell

DTYPE = "fp32"
"""Whatever a cell was trained in: values are small differences, which shorter types would drown in rounding."""
MOST_LABELS = 5
"""Labels of one text that are explained unless they are named: those with the highest logits of all that are said."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What one cell says of one text."""

    tokens: Tokens
    logits: dict[str, float]
    labels: frozenset[str]


def answer(request: Request, say: Say = lambda _: None) -> Answer:
    """Explain texts by cells and write the tables.

    Args:
        request: what was asked.
        say: takes lines of progress.
    Returns:
        what was written.
    Raises:
        UserError: a cell without weights, an unknown label, a text without tokens.
        EnvironmentProblem: a base or its data cannot be read here, captum is missing, or the disk refused.
    """
    captum_methods()  # missing, it is better missed before models are loaded
    cells = [finished_cell(cell) for cell in request.cells]
    cache = Path(request.cache)
    texts = texts_in(Path(request.texts_file)) if request.texts_file else None
    if texts is None:
        texts = rows_of_test_set(cells[0].result.cell, request.rows, cache)
    shelf = Shelf(cache, dtype=DTYPE)
    said = [_what_is_said(cell, texts, shelf) for cell in cells]
    labels = [_labels_of(request, cells, [by_cell[row] for by_cell in said]) for row in range(len(texts))]
    explained: list[list[Explained]] = []
    for number, cell in enumerate(cells, start=1):
        say(f"cell {number} of {len(cells)}: {cell.asked.title}")
        explained.append(_explained_by(cell, request, texts, said[number - 1], labels, shelf))
    compared = [
        pair for one, other in combinations(explained, 2) for pair in _compared(one, other, top_k=request.top_k)
    ]
    folder = write_tables(
        Path(request.out),
        _name(request, texts),
        [item for items in explained for item in items],
        compared,
        _settings(request, cells, shelf),
    )
    gaps = [abs(item.attribution.gap) for items in explained for item in items if item.attribution.gap is not None]
    return Answer(
        folder=str(folder),
        num_texts=len(texts),
        num_explained=sum(len(items) for items in explained),
        largest_gap=max(gaps, default=None),
        pairs=_summary(cells, compared),
    )


def _what_is_said(cell: FinishedCell, texts: Sequence[Text], shelf: Shelf) -> list[_Said]:
    """Labels come first: every cell explains what any of them says."""
    recipe, tokenizer = cell.result.cell.recipe, shelf.tokenizer_of(cell)
    said = []
    with shelf.model_of(cell) as model:
        for text in texts:
            tokens = tokens_of(tokenizer, text.text, max_length=recipe.max_length, side=recipe.truncation)
            logits_C = TextScorer(model, tokens, stand_in(tokenizer)).plain_logits()[0]
            logits = dict(zip(cell.result.label_names, logits_C.tolist(), strict=True))
            said.append(_Said(tokens=tokens, logits=logits, labels=_said_labels(cell, logits)))
    return said


def _said_labels(cell: FinishedCell, logits: dict[str, float]) -> frozenset[str]:
    """Multi-label: probability of at least one half, else, as for one label a text, the most probable."""
    several = [label for label, logit in logits.items() if logit >= 0]
    if cell.result.cell.data.task == "multi_label" and several:
        return frozenset(several)
    return frozenset([max(logits, key=lambda label: logits[label])])


def _labels_of(request: Request, cells: Sequence[FinishedCell], said: Sequence[_Said]) -> tuple[str, ...]:
    known = {label for cell in cells for label in cell.result.label_names}
    if unknown := [label for label in request.labels if label not in known]:
        raise UserError(f"--labels {', '.join(unknown)}: the cells have the labels {', '.join(sorted(known))}")
    if request.labels:
        return request.labels
    highest: dict[str, float] = {}
    for one in said:
        for label in one.labels:
            highest[label] = max(highest.get(label, float("-inf")), one.logits[label])
    return tuple(sorted(highest, key=lambda label: (-highest[label], label))[:MOST_LABELS])


def _explained_by(
    cell: FinishedCell,
    request: Request,
    texts: Sequence[Text],
    said: Sequence[_Said],
    labels: Sequence[tuple[str, ...]],
    shelf: Shelf,
) -> list[Explained]:
    names, masked = cell.result.label_names, stand_in(shelf.tokenizer_of(cell))
    found = []
    with shelf.model_of(cell) as model:
        for text, one, wanted in zip(texts, said, labels, strict=True):
            own = [label for label in wanted if label in names]
            scorer = TextScorer(model, one.tokens, masked)
            values = explain(scorer, [names.index(label) for label in own], method=request.method, steps=request.steps)
            found += [
                Explained(
                    cell_id=cell.asked.cell_id,
                    title=cell.asked.title,
                    text=text,
                    method=request.method,
                    label=label,
                    is_said=label in one.labels,
                    tokens=one.tokens,
                    attribution=value,
                )
                for label, value in zip(own, values, strict=True)
            ]
    return found


def _compared(one: Sequence[Explained], other: Sequence[Explained], *, top_k: int) -> list[Compared]:
    """Pairs on the same text and label; cells with other tokenizers cannot be compared token by token."""
    by_place = {(item.text.row_id, item.label): item for item in other}
    pairs = []
    for first in one:
        second = by_place.get((first.text.row_id, first.label))
        if second is not None and first.tokens.pieces == second.tokens.pieces:
            pairs.append(
                Compared(
                    first=first, second=second, agreement=agreement(first.own_values, second.own_values, top_k=top_k)
                )
            )
    return pairs


def _summary(cells: Sequence[FinishedCell], compared: Sequence[Compared]) -> tuple[PairAgreement, ...]:
    summary = []
    for one, other in combinations(cells, 2):
        ids = (one.asked.cell_id, other.asked.cell_id)
        mine = [pair.agreement for pair in compared if (pair.first.cell_id, pair.second.cell_id) == ids]
        ranks = [item.rank_correlation for item in mine if item.rank_correlation is not None]
        overlaps = [item.top_k_overlap for item in mine if item.top_k_overlap is not None]
        summary.append(
            PairAgreement(
                first=ids[0],
                second=ids[1],
                num_compared=len(mine),
                rank_correlation=fmean(ranks) if ranks else None,
                top_k_overlap=fmean(overlaps) if overlaps else None,
            )
        )
    return tuple(summary)


def _name(request: Request, texts: Sequence[Text]) -> str:
    """Equal questions share a folder, others never do."""
    question = plain(replace(request, texts_file=None, out="", cache="", cells=()))
    parts = [
        *(cell.cell_id for cell in request.cells),
        repr(sorted(question.items())),
        *(text.sha256 for text in texts),
    ]
    return f"{request.method}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:8]}"


def _settings(request: Request, cells: Sequence[FinishedCell], shelf: Shelf) -> dict[str, Any]:
    asked: dict[str, Any] = plain(replace(request, out="", cache=""))
    masked = {cell.asked.cell_id: _piece(shelf.tokenizer_of(cell)) for cell in cells}
    return asked | {"masked_by": masked, "dtype": DTYPE, "device": shelf.device, "torch": torch.__version__}


def _piece(tokenizer: Any) -> str:
    return str(tokenizer.convert_ids_to_tokens(stand_in(tokenizer)))
