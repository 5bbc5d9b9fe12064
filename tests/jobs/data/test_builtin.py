"""The built-in corpus: the same rows for ever, prefixes of each other, and as hard as it is meant to be."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest

from jobs.data import builtin, words
from jobs.data.rows import TEST, TRAIN, VALIDATION, Corpus

ROWS = 60_000


def _digest(corpus: Corpus) -> str:
    content = repr((corpus.texts, corpus.row_ids, corpus.label_ids.tolist(), corpus.label_offsets.tolist()))
    return hashlib.sha256(content.encode()).hexdigest()


def test_golden_rows() -> None:
    """When this fails, rows have changed: raise builtin.VERSION, then replace the hash."""
    assert builtin.VERSION == "builtin-1"
    assert _digest(builtin.corpus(1000)) == "eedbccbf1911911f72fa947e82a77f4d5cda347a4ca8c0e318b5a828bdab2efb"


def test_a_smaller_corpus_is_a_prefix_even_across_blocks() -> None:
    large, small = builtin.corpus(20_000), builtin.corpus(17_001)
    assert large.texts[:17_001] == small.texts
    assert large.row_ids[:17_001] == small.row_ids
    assert np.array_equal(large.label_offsets[:17_002], small.label_offsets)
    assert np.array_equal(large.label_ids[: small.label_offsets[-1]], small.label_ids)


def test_labels_are_those_of_goemotions_in_id_order() -> None:
    assert len(builtin.LABELS) == 28
    assert builtin.LABELS[-1] == "neutral"
    assert list(builtin.LABELS[:-1]) == sorted(builtin.LABELS[:-1])
    assert {builtin.LABELS[i] for i in (0, 15, 18, 25)} == {"admiration", "gratitude", "love", "sadness"}


def test_every_word_is_plain_and_stands_in_one_list() -> None:
    slots = {"CUE", "NOUN", "VERB", "ADVERB", "ADJECTIVE"}
    literals = {word for template in words.TEMPLATES for word in template.split()} - slots
    lists = [*words.CUES.values(), words.NOUNS, words.VERBS, words.ADVERBS, words.ADJECTIVES, tuple(literals)]
    flat = [word for members in lists for word in members]
    assert len(flat) == len(set(flat))
    assert all(word.isascii() and word.isalpha() and word.islower() for word in flat)
    assert sorted(flat) == list(builtin.lexicon())
    assert len(flat) <= 2500


def test_groups_cover_every_label_once() -> None:
    assert sorted(name for group in words.GROUPS for name in group) == sorted(builtin.LABELS)
    assert {len(group) for group in words.GROUPS} == {4}


def test_texts_use_the_lexicon_and_have_six_to_twenty_words() -> None:
    corpus = builtin.corpus(5000)
    known = set(builtin.lexicon())
    lengths = [len(text.split(" ")) for text in corpus.texts]
    assert min(lengths) >= 6 and max(lengths) <= 20
    assert {word for text in corpus.texts for word in text.split(" ")} <= known


def test_shares_of_labels() -> None:
    corpus = builtin.corpus(ROWS)
    per_row = corpus.num_labels_of_row
    assert set(per_row.tolist()) == {1, 2, 3}
    assert abs((per_row == 1).mean() - 0.83) < 0.01
    counts = np.sort(corpus.single_label_counts)[::-1]
    assert counts[15] >= 150 + 125 + 600
    assert counts[1] >= 1200 + 125
    assert counts[-1] >= 250
    # Within a row, labels are distinct.
    pairs = set(zip(corpus.row_of_label_id.tolist(), corpus.label_ids.tolist(), strict=True))
    assert len(pairs) == len(corpus.label_ids)


def test_own_splits_are_eight_to_one_to_one() -> None:
    splits = builtin.corpus(1000).splits
    assert splits is not None
    assert [int((splits == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [800, 100, 100]


@pytest.mark.parametrize("rows", [0, -1, 1_000_001])
def test_rows_out_of_range_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="1 to 1,000,000"):
        builtin.corpus(rows)


def test_generation_is_fast() -> None:
    # Far above the usual third of a second: this catches a loop over rows, not a busy machine.
    builtin.corpus.cache_clear()
    start = time.process_time()
    builtin.corpus(ROWS)
    assert time.process_time() - start < 6


def test_more_labels_are_harder_and_more_rows_help() -> None:
    corpus = builtin.corpus(ROWS)
    few = {k: _accuracy(corpus, num_labels=k, num_train=608) for k in (2, 4, 8, 16)}
    assert 0.92 <= few[2] <= 0.99
    assert 0.80 <= few[4] <= 0.92
    assert 0.70 <= few[8] <= 0.85
    assert 0.55 <= few[16] <= 0.72
    assert few[2] > few[4] > few[8] > few[16]
    assert _accuracy(corpus, num_labels=16, num_train=2400) > few[16] + 0.05


def _accuracy(corpus: Corpus, *, num_labels: int, num_train: int) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train, test = [], []
    for label in np.argsort(-corpus.single_label_counts, kind="stable")[:num_labels]:
        rows = np.flatnonzero(corpus.single_label == label)
        test.extend(rows[:100])
        train.extend(rows[125 : 125 + num_train // num_labels])
    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True)
    features = vectorizer.fit_transform([corpus.texts[row] for row in train])
    model = LogisticRegression(C=10, max_iter=300).fit(features, corpus.single_label[train])
    held_out = vectorizer.transform([corpus.texts[row] for row in test])
    return float(model.score(held_out, corpus.single_label[test]))
