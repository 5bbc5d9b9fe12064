"""Names of files: plain, short, and distinct on disks that do not tell A from a."""

from __future__ import annotations

from analysis.stems import distinct_stem, slug


def test_names_of_files_are_plain_and_short() -> None:
    assert slug("a/b: 4 labels") == "a-b-4-labels"
    assert slug("../..") == slug("模型") == "unnamed"
    assert slug("x" * 80) == "x" * 80
    assert (len(slug("x" * 300)), len(slug("x" * 300, most=100))) == (80, 100)


def test_stems_are_distinct() -> None:
    taken: set[str] = set()
    assert [distinct_stem(stem, taken) for stem in ("a", "A", "a", "b")] == ["a", "A-2", "a-3", "b"]
