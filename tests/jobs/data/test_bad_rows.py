"""Bad rows: all named up to five, refused by default, dropped only within the limit."""

from __future__ import annotations

import pytest

from jobs.data.bad_rows import NOT_UTF8, BadRows
from jobs.errors import DataError


def test_no_faults_no_error() -> None:
    BadRows("fail", 0.0).settle(10)


def test_fail_names_the_first_five_and_counts_the_rest() -> None:
    bad = BadRows("fail", 0.5)
    for line in range(1, 8):
        bad.add("rows.csv", line, "broken")
    with pytest.raises(DataError) as caught:
        bad.settle(1000)
    lines = str(caught.value).split("\n")
    assert lines[0] == "rows.csv:1: broken"
    assert lines[4] == "rows.csv:5: broken"
    assert lines[5] == "... and 2 more"
    assert "dataset.bad_rows: drop" in lines[6]


def test_drop_allows_exactly_the_declared_share() -> None:
    bad = BadRows("drop", 0.02)
    bad.add("rows.csv", 1, "broken", num_rows=2)
    bad.settle(100)
    with pytest.raises(DataError, match=r"2 of 99 rows \(2.02%\) are bad"):
        bad.settle(99)


def test_messages_hold_no_control_characters() -> None:
    bad = BadRows("fail", 0.0)
    bad.add("rows.csv", 1, "label 'a\x1b[31m\n'")
    with pytest.raises(DataError) as caught:
        bad.settle(1)
    assert "\x1b" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_told_how_to_convert_them() -> None:
    bad = BadRows("fail", 0.0)
    for line in range(1, 4):
        bad.add("rows.csv", line, NOT_UTF8)
    with pytest.raises(DataError) as caught:
        bad.settle(3)
    assert "iconv -f WINDOWS-1252 -t UTF-8" in str(caught.value)
    assert "drop" not in str(caught.value)  # nothing would remain
