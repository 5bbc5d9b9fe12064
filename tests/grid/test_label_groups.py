"""Named groups cover the 28 labels once each; word lists match whole words of any case."""

from __future__ import annotations

import re

import pytest

from grid.label_groups import NAMED, any_word_of, label_groups
from jobs.data.builtin import LABELS


@pytest.mark.parametrize("name", NAMED)
def test_named_groups_hold_every_label_once(name: str) -> None:
    labels = [label for group in label_groups(name) for label in group.labels]
    assert sorted(labels) == sorted(LABELS)


def test_a_name_and_its_meaning_are_equal() -> None:
    spelled = {name: labels.split() for name, labels in NAMED["ekman"].items()}
    assert label_groups("ekman") == label_groups(spelled)


def test_words_match_whole_and_literally() -> None:
    pattern = re.compile(any_word_of(["c++", "drug"]))
    assert pattern.search("a Drug, and more") and pattern.search("in C++ only")
    assert not pattern.search("drugs") and not pattern.search("c+")
