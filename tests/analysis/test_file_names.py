"""Names of files that are made of titles."""

from __future__ import annotations

from analysis.file_names import distinct, slug


def test_names_of_files_are_plain_and_short() -> None:
    assert slug("a/b: 4 labels") == "a-b-4-labels"
    assert slug("../..") == "unnamed"
    long = "begins" + "x" * 300 + "ends"
    for most in (80, 100):
        name = slug(long, most=most)
        assert len(name) == most and name.startswith("begins") and name.endswith("ends")
    assert slug("x" * 80) == "x" * 80


def test_no_two_files_have_a_name_that_differs_in_case_alone() -> None:
    taken: set[str] = set()
    assert [distinct(name, taken) for name in ("a-b", "a-b", "A-B", "a-b-2", "c")] == [
        "a-b",
        "a-b-2",
        "A-B-3",
        "a-b-2-2",
        "c",
    ]
