"""Which texts are explained: lines of a file, or rows of a test set with what is true of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from jobs.data import prepare
from jobs.errors import UserError
from jobs.explaining.texts import MOST_TEXTS, rows_of_test_set, texts_in
from tests.fakes.finished_cells import CELLS


def test_lines_of_a_file_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffone line\r\n\n  \nan\u2028other\n".encode())
    found = texts_in(path)
    assert [(text.row_id, text.text) for text in found] == [("line-1", "one line"), ("line-4", "an\u2028other")]
    assert found[0].labels is None and found[0].sha256 == hashlib.sha256(b"one line").hexdigest()


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe", b"text\n" * (MOST_TEXTS + 1)])
def test_a_file_without_usable_texts_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="--texts"):
        texts_in(path)
    with pytest.raises(UserError, match="No such file"):
        texts_in(tmp_path / "nothing.txt")


def test_rows_are_spread_over_the_test_set_and_know_what_is_true(cache: Path) -> None:
    one, several = CELLS["full"], CELLS["several"]
    data = prepare(one.data, seed=0, cache=cache)
    found = rows_of_test_set(one, 3, cache)
    assert [text.row_id for text in found] == [data.test.row_ids[row] for row in (0, 8, 17)]  # of 18
    assert [text.labels for text in found] == [{data.label_names[data.test.labels[row]]} for row in (0, 8, 17)]
    assert len(rows_of_test_set(one, 100, cache)) == 18
    whole = prepare(several.data, seed=0, cache=cache)
    text = rows_of_test_set(several, 1, cache)[0]
    assert text.labels == {
        name for name, is_true in zip(whole.label_names, whole.test.labels[0], strict=True) if is_true
    }
