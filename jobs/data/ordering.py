"""Orders in which rows are drawn: functions of the texts and the seed, such that every prefix is a sensible sample.

Because a sample of n rows is the first n of one order, smaller samples lie inside larger ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.data.mixing import keyed
from jobs.data.rows import Bools, Floats, Int64

FIXED_KEY = 0x5EED_F1DE_0000_0000
"""Key of everything that no seed may change, such as test rows. Even, while keys of seeds are odd."""


def seed_key(seed: int) -> int:
    """The key under which a seed draws training rows."""
    return 2 * seed + 1


def shuffled(rows: Int64, text_keys: NDArray[np.uint64], key: int) -> Int64:
    """Rows in an order that depends on their texts and the key, not on where they stand."""
    return rows[np.argsort(keyed(text_keys[rows], key), kind="stable")]


def round_robin(groups: Sequence[Int64]) -> Int64:
    """First rows of all groups, then second rows, ...: every prefix is as balanced as can be."""
    rank = np.concatenate([np.arange(len(group)) for group in groups])
    which = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    rows: Int64 = np.concatenate(groups)[np.lexsort((which, rank))]
    return rows


def proportional(groups: Sequence[Int64]) -> Int64:
    """Groups interleaved evenly: every prefix holds each group's share, up to a few rows where groups are many."""
    place = np.concatenate([(np.arange(len(group)) + 0.5) / max(len(group), 1) for group in groups])
    which = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    rows: Int64 = np.concatenate(groups)[np.lexsort((which, place))]
    return rows


def stratified(rows: Int64, has_label: Bools, text_keys: NDArray[np.uint64], key: int) -> Int64:
    """Order rows such that every prefix keeps the shares of labels and of their combinations.

    Labels are served rarest first among the rows not yet served, as in iterative stratification; the rows of
    each are spread evenly over the order, and so are the label combinations among them.

    Args:
        rows: row numbers of the corpus.
        has_label: [len(rows), labels], at least one label a row.
        text_keys: of the whole corpus.
        key: `seed_key(seed)` or FIXED_KEY.

    Source:
        Sechidis, Tsoumakas, Vlahavas (2011), "On the stratification of multi-label data", for the order of labels.
    """
    order_keys = keyed(text_keys[rows], key)
    combination = np.unique(np.packbits(has_label, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    waiting = np.ones(len(rows), dtype=np.bool_)
    groups = []
    while waiting.any():
        counts = has_label[waiting].sum(axis=0)
        rarest = int(np.argmin(np.where(counts > 0, counts, np.iinfo(np.int64).max)))
        members = np.flatnonzero(waiting & has_label[:, rarest])
        waiting[members] = False
        by_combination = members[np.lexsort((order_keys[members], combination[members]))]
        groups.append(rows[_evenly(by_combination, key + rarest)])
    return proportional(groups)


def _evenly(items: Int64, key: int) -> Int64:
    """Reorder a sorted list so that every prefix picks evenly spaced places, from a start that the key chooses."""
    start = int(keyed(np.array([len(items)], dtype=np.uint64), key)[0] % np.uint64(len(items)))
    return np.roll(items, -start)[np.argsort(_bit_reversed(len(items)), kind="stable")]


def _bit_reversed(length: int) -> Floats:
    """Van der Corput's sequence: binary digits of 0 ... length - 1 mirrored at the point."""
    numbers = np.arange(length, dtype=np.int64)
    mirrored = np.zeros(length, dtype=np.float64)
    share = 0.5
    while numbers.any():
        mirrored += share * (numbers & 1)
        numbers >>= 1
        share /= 2
    return mirrored
