"""Copies of rare labels' rows: how many, of what, never a held-out text, and the same everywhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data import prepare
from jobs.data.augmenting import OPERATIONS, augmented
from jobs.data.rows import Split, text_key
from jobs.spec import DataSpec

SPEC = DataSpec(source="builtin", augment=tuple(OPERATIONS), augment_to=6)
WORDS = "one two three four five six seven eight".split()

draws = st.lists(st.floats(0, 1, exclude_max=True), min_size=16, max_size=16).map(np.array)
texts = st.integers(2, 8).map(lambda length: WORDS[:length])


def rows_of(labels: list[int], *, several: bool = False) -> Split:
    texts = tuple(f"{word} says the row number {row} today" for row, word in enumerate(map(str, labels)))
    encoded = np.eye(max(labels) + 1, dtype=np.uint8)[labels] if several else np.array(labels, dtype=np.int64)
    return Split(texts=texts, labels=encoded, row_ids=tuple(f"r{row}" for row in range(len(labels))))


def filled(
    train: Split, *, seed: int = 0, taken: tuple[str, ...] = (), **changes: object
) -> tuple[Split, dict[str, int]]:
    keys = {text_key(text) for text in (*train.texts, *taken)}
    num_labels = train.labels.shape[1] if train.labels.ndim == 2 else int(train.labels.max()) + 1
    spec = replace(SPEC, **changes)  # type: ignore[arg-type]
    found = augmented(train, spec, seed=seed, num_labels=num_labels, taken=keys)
    return found.train, dict(found.counts)


def test_rare_labels_are_filled_up_and_common_ones_left_alone() -> None:
    train = rows_of([0] * 8 + [1] * 2 + [2] * 5)
    more, counts = filled(train)
    assert np.bincount(more.labels).tolist() == [8, 6, 6]
    assert counts == {"augmented_rows": 5, "augmented_labels": 2}
    # The rows themselves stay in front, as they were; every copy names its row.
    assert more.texts[:15] == train.texts and more.row_ids[:15] == train.row_ids
    assert more.row_ids[15:] == ("r8~1", "r9~1", "r8~2", "r9~2", "r10~1")
    assert len({text_key(text) for text in more.texts}) == 20
    assert not more.labels.flags.writeable


def test_no_row_has_more_copies_than_allowed_and_what_is_missing_is_said() -> None:
    train = rows_of([0] * 6 + [1] * 2)
    spec = replace(SPEC, augment_copies=1)
    found = augmented(train, spec, seed=0, num_labels=2, taken={text_key(text) for text in train.texts})
    assert found.counts == {"augmented_rows": 2, "augmented_labels": 1, "augment_rows_missing": 2}
    assert found.marks == ("augmented rows that are missing to augment_to: 2",)
    assert max(Counter(row_id.partition("~")[0] for row_id in found.train.row_ids).values()) == 2


def test_texts_that_cannot_be_altered_are_not_copied() -> None:
    train = Split(texts=("alone", "a pair", "x y z"), labels=np.array([0, 0, 1]), row_ids=("a", "b", "c"))
    more, counts = filled(train, augment=("swap_words",), augment_to=4)
    copies = [row_id.partition("~")[0] for row_id in more.row_ids[3:]]
    assert copies.count("a") == 0 and copies.count("b") == 1  # one word; two words, which have one other order
    assert counts["augment_rows_missing"] == 8 - len(more.texts)


def test_a_copy_never_repeats_a_text_of_any_split() -> None:
    train = Split(texts=("a pair", "x y"), labels=np.array([0, 1]), row_ids=("b", "c"))
    more, _ = filled(train, taken=("PAIR  a",), augment=("swap_words",), augment_to=2)
    assert more.texts == ("a pair", "x y", "y x")


def test_copies_carry_all_labels_of_their_row_and_count_for_each() -> None:
    train = rows_of([0, 0, 0, 1, 2], several=True)
    labels = train.labels.copy()
    labels[4, 1] = 1  # the only row of label 2 has label 1 as well
    more, _ = filled(replace(train, labels=labels), augment_to=3)
    assert more.labels.dtype == np.uint8 and more.labels.sum(axis=0).tolist() == [3, 4, 3]
    assert more.labels[5:].tolist() == [[0, 1, 1]] * 2


def test_the_seed_and_the_texts_decide_alone() -> None:
    train = rows_of([0] * 8 + [1] * 2)
    assert filled(train)[0].texts == filled(train)[0].texts
    assert filled(train)[0].texts != filled(train, seed=1)[0].texts
    other = Split(texts=train.texts[::-1], labels=train.labels[::-1].copy(), row_ids=train.row_ids[::-1])
    assert set(filled(other)[0].texts) == set(filled(train)[0].texts)


def test_golden_copies() -> None:
    """A failure here means that finished cells no longer say which rows they were trained on: raise RECIPE_VERSION."""
    more, _ = filled(rows_of([0] * 4 + [1]), augment_to=4)
    assert more.texts[5:] == (
        "1 says the row number 4 4 today",
        "1 says the row number 4",
        "1 says the row number 4 today today",
    )


@given(texts, st.floats(0.01, 0.99), draws)
def test_dropping_keeps_the_order_and_something(words: list[str], share: float, numbers: np.ndarray) -> None:
    kept = OPERATIONS["drop_words"](words, share, numbers)
    assert 1 <= len(kept) < len(words) and kept == [word for word in words if word in kept]


@given(texts, st.floats(0.01, 0.99), draws)
def test_swapping_keeps_the_words(words: list[str], share: float, numbers: np.ndarray) -> None:
    assert sorted(OPERATIONS["swap_words"](words, share, numbers)) == sorted(words)


@given(texts, st.floats(0.01, 0.99), draws)
def test_repeating_adds_words_beside_themselves(words: list[str], share: float, numbers: np.ndarray) -> None:
    said = OPERATIONS["repeat_words"](words, share, numbers)
    assert len(said) > len(words) and list(dict.fromkeys(said)) == words and max(Counter(said).values()) == 2


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_only_training_rows_change_and_their_hash_says_so(task: str) -> None:
    plain = DataSpec(source="builtin", rows=3000, protocol="official", task=task, num_samples=300, overlap="drop")
    with_copies = replace(plain, augment=("drop_words",), augment_to=20)
    before, after = prepare(plain, seed=1), prepare(with_copies, seed=1)
    assert (before.hashes["validation"], before.hashes["test"]) == (after.hashes["validation"], after.hashes["test"])
    assert before.hashes["train"] != after.hashes["train"] == prepare(with_copies, seed=1).hashes["train"]
    assert len(after.train) == len(before.train) + after.counts["augmented_rows"]
    held_out = {text_key(text) for split in (after.validation, after.test) for text in split.texts}
    assert not held_out & {text_key(text) for text in after.train.texts}
