"""The built-in corpus: texts of our own making over the 28 GoEmotions labels, for demos and tests without a network.

Every number comes from a counter: a hash of (row, position), never from a generator with a state, so that
row i is the same in every corpus, process and numpy version.

A text is two or three phrases. Each phrase has slots for cue words; a slot mostly shows a cue of the row's own
label, sometimes one of an easily confused label or of any label. Cues of one label are therefore
found together, frequent cues are learnt from few rows, rare ones need more, and more labels are harder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from jobs.data import words
from jobs.data.mixing import uniforms
from jobs.data.rows import TEST, TRAIN, VALIDATION, Corpus, Floats, Int64

VERSION = "builtin-1"
"""Changes whenever any row changes."""

LABELS: tuple[str, ...] = tuple(words.CUES)
"""The GoEmotions labels; position is the id."""

MAX_ROWS = 1_000_000

_KEY = 0x46696E65_47726964
_BLOCK_ROWS = 16_384
_SPLIT_OF_TEN = np.array([TRAIN] * 8 + [VALIDATION, TEST], dtype=np.int8)

# Share of single-label rows, in thousandths: the order of GoEmotions, flatter at both ends so that
# a corpus of 60,000 rows feeds grids of 16 labels and has no label below 250 rows.
_WEIGHTS = {
    "neutral": 150, "admiration": 80, "gratitude": 66, "approval": 62, "amusement": 58, "annoyance": 54,
    "disapproval": 51, "love": 48, "curiosity": 46, "anger": 42, "optimism": 38, "confusion": 36, "joy": 34,
    "sadness": 32, "surprise": 30, "disappointment": 28, "caring": 24, "realization": 21, "disgust": 18,
    "excitement": 16, "fear": 14, "desire": 12, "remorse": 11, "embarrassment": 9, "nervousness": 7, "relief": 7,
    "pride": 6, "grief": 6,
}  # fmt: skip

_OWN_CUE, _GROUP_CUE, _ANY_CUE = 0.62, 0.22, 0.08
"""What a cue slot shows; the rest are nouns."""
_ZIPF_SHIFT = 1.0
"""The word of rank i has weight 1 / (i + this): plain division, so that shares are the same on every machine."""
_TWO_LABELS, _THREE_LABELS = 0.15, 0.02
_THREE_PHRASES = 0.45
_MAX_WORDS = 20


_END = -1
_SLOTS = {"CUE": -2, "NOUN": -3, "VERB": -4, "ADVERB": -5, "ADJECTIVE": -6}
_PHRASE_WORDS = max(len(template.split()) for template in words.TEMPLATES)
_POSITIONS = 3 * _PHRASE_WORDS
_COUNTERS = 8 + 3 * _POSITIONS
"""Numbers used by a row: 8 for its plan, then for each position: what, whose, which word."""


@dataclass(frozen=True)
class _WordList:
    """Part of the lexicon that fills one kind of slot: ids and cumulative shares."""

    ids: Int64
    shares: Floats

    def pick(self, uniform: Floats) -> Int64:
        """One word id for each uniform number."""
        return self.ids[np.searchsorted(self.shares, uniform, side="right")]


@dataclass(frozen=True)
class _Grammar:
    """Templates, word lists and groups as arrays."""

    words: NDArray[np.object_]
    templates: Int64
    """[template, position]: a word id, a slot, or _END."""
    cues: tuple[_WordList, ...]
    """By label id."""
    fillers: dict[int, _WordList]
    """By slot."""
    neighbours: Int64
    """[label, 3]: the labels it is easily confused with."""
    label_shares: Floats


@lru_cache(maxsize=1)
def lexicon() -> tuple[str, ...]:
    """Every word the generator can produce, sorted."""
    literals = (word for template in words.TEMPLATES for word in template.split() if word not in _SLOTS)
    cues = (word for cue_words in words.CUES.values() for word in cue_words)
    return tuple(sorted({*literals, *cues, *words.NOUNS, *words.VERBS, *words.ADVERBS, *words.ADJECTIVES}))


@lru_cache(maxsize=2)
def corpus(rows: int) -> Corpus:
    """The first rows of the built-in corpus.

    Args:
        rows: 1 to 1,000,000; a smaller corpus is a prefix of a larger one.

    Returns:
        the corpus, with splits 8 : 1 : 1 by row number.

    Raises:
        ValueError: rows out of range.
    """
    if not 1 <= rows <= MAX_ROWS:
        raise ValueError(f"rows must be 1 to {MAX_ROWS:,}, not {rows:,}")
    blocks = [_block(start, min(start + _BLOCK_ROWS, rows)) for start in range(0, rows, _BLOCK_ROWS)]
    labels = np.sort(np.concatenate([block_labels for _, block_labels in blocks]), axis=1)
    is_label = labels >= 0
    return Corpus(
        name="the built-in corpus",
        texts=tuple(text for texts, _ in blocks for text in texts),
        row_ids=tuple(f"builtin-{row}" for row in range(rows)),
        label_names=LABELS,
        label_offsets=np.concatenate([[0], np.cumsum(is_label.sum(axis=1))]).astype(np.int64),
        label_ids=labels[is_label],
        splits=np.resize(_SPLIT_OF_TEN, rows),
        counts={"rows_read": rows},
    )


def _block(start: int, stop: int) -> tuple[list[str], Int64]:
    """Texts and labels [rows, 3] (-1: none) of rows start to stop."""
    rows = np.arange(start, stop, dtype=np.uint64)
    counters = np.add.outer(rows * np.uint64(_COUNTERS), np.arange(_COUNTERS, dtype=np.uint64)).astype(np.uint64)
    numbers = uniforms(counters, _KEY)
    grammar = _grammar()
    labels = _draw_labels(grammar, numbers[:, :4])
    tokens = _draw_phrases(grammar, numbers[:, 4:8])
    what, whose, which = (numbers[:, 8 + i * _POSITIONS : 8 + (i + 1) * _POSITIONS] for i in range(3))
    _fill_cues(grammar, tokens, labels, what, whose, which)
    for slot, word_list in grammar.fillers.items():
        at = tokens == slot
        tokens[at] = word_list.pick(which[at])
    return _joined(grammar, tokens), labels


def _draw_labels(grammar: _Grammar, numbers: Floats) -> Int64:
    how_many, first_at, second_at, third_at = numbers.T
    num_labels = len(LABELS)
    first = np.searchsorted(grammar.label_shares, first_at, side="right")
    # Three of four second labels come from the neighbours, the others from anywhere else.
    step = (second_at * 4).astype(np.int64)
    anywhere = (first + 1 + ((second_at * 4) % 1 * (num_labels - 1)).astype(np.int64)) % num_labels
    second = np.where(step < 3, grammar.neighbours[first, np.minimum(step, 2)], anywhere)
    # second + 1 ... second + 26: never the second; one further where it met the first.
    third = (second + 1 + (third_at * (num_labels - 2)).astype(np.int64)) % num_labels
    third = np.where(third == first, (third + 1) % num_labels, third)
    has_second = how_many < _TWO_LABELS + _THREE_LABELS
    has_third = how_many < _THREE_LABELS
    return np.stack([first, np.where(has_second, second, -1), np.where(has_third, third, -1)], axis=1)


def _draw_phrases(grammar: _Grammar, numbers: Floats) -> Int64:
    """Words, slots and ends [rows, positions]; a phrase never follows itself."""
    has_third, first_at, second_at, third_at = numbers.T
    num_templates = len(grammar.templates)
    first = (first_at * num_templates).astype(np.int64)
    second = (first + 1 + (second_at * (num_templates - 1)).astype(np.int64)) % num_templates
    third = (second + 1 + (third_at * (num_templates - 1)).astype(np.int64)) % num_templates
    tokens = np.concatenate([grammar.templates[phrase] for phrase in (first, second, third)], axis=1)
    tokens[has_third >= _THREE_PHRASES, 2 * _PHRASE_WORDS :] = _END
    tokens[np.cumsum(tokens != _END, axis=1) > _MAX_WORDS] = _END
    return tokens


def _fill_cues(grammar: _Grammar, tokens: Int64, labels: Int64, what: Floats, whose: Floats, which: Floats) -> None:
    """Replace cue slots by words of the row's labels, of their neighbours, of any label, or by a noun slot."""
    row, column = np.nonzero(tokens == _SLOTS["CUE"])
    kind, pick, word_at = what[row, column], whose[row, column], which[row, column]
    count = (labels >= 0).sum(axis=1)[row]
    scaled = pick * count
    own = labels[row, scaled.astype(np.int64)]
    neighbour = grammar.neighbours[own, (scaled % 1 * grammar.neighbours.shape[1]).astype(np.int64)]
    anyone = (scaled % 1 * len(LABELS)).astype(np.int64)
    is_own, is_near, is_cue = (kind < edge for edge in np.cumsum([_OWN_CUE, _GROUP_CUE, _ANY_CUE]))
    label = np.where(is_own, own, np.where(is_near, neighbour, anyone))
    found = np.full(len(row), _SLOTS["NOUN"], dtype=np.int64)
    for label_id, word_list in enumerate(grammar.cues):
        at = is_cue & (label == label_id)
        found[at] = word_list.pick(word_at[at])
    tokens[row, column] = found


def _joined(grammar: _Grammar, tokens: Int64) -> list[str]:
    is_word = tokens != _END
    flat = grammar.words[tokens[is_word]].tolist()
    ends = np.cumsum(is_word.sum(axis=1)).tolist()
    return [" ".join(flat[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


@lru_cache(maxsize=1)
def _grammar() -> _Grammar:
    ids = {word: index for index, word in enumerate(lexicon())} | _SLOTS
    templates = np.full((len(words.TEMPLATES), _PHRASE_WORDS), _END, dtype=np.int64)
    for row, template in enumerate(words.TEMPLATES):
        phrase = [ids[word] for word in template.split()]
        templates[row, : len(phrase)] = phrase
    lists = {"NOUN": words.NOUNS, "VERB": words.VERBS, "ADVERB": words.ADVERBS, "ADJECTIVE": words.ADJECTIVES}
    groups = {name: group for group in words.GROUPS for name in group}
    neighbours = [[LABELS.index(other) for other in groups[name] if other != name] for name in LABELS]
    return _Grammar(
        words=np.array(lexicon(), dtype=object),
        templates=templates,
        cues=tuple(_word_list(ids, cue_words) for cue_words in words.CUES.values()),
        fillers={_SLOTS[slot]: _word_list(ids, filler_words) for slot, filler_words in lists.items()},
        neighbours=np.array(neighbours, dtype=np.int64),
        label_shares=_cumulative(np.array([_WEIGHTS[name] for name in LABELS], dtype=np.float64)),
    )


def _word_list(ids: dict[str, int], members: tuple[str, ...]) -> _WordList:
    weights = 1.0 / (np.arange(len(members), dtype=np.float64) + _ZIPF_SHIFT)
    return _WordList(ids=np.array([ids[word] for word in members], dtype=np.int64), shares=_cumulative(weights))


def _cumulative(weights: Floats) -> Floats:
    sums: Floats = np.cumsum(weights, dtype=np.float64)
    shares: Floats = sums / sums[-1]
    return shares
