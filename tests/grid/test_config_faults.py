"""Faults inside sections that may be missing as a whole are told like all others."""

from __future__ import annotations

import pytest

from tests.grid.documents import problems_of


@pytest.mark.parametrize(
    ("section", "written", "meant"),
    [("family", {"tragets": ["query"]}, "targets"), ("tuning", {"candidate": 4, "search": {}}, "candidates")],
)
def test_an_unknown_key_of_an_optional_section_names_the_nearest(
    section: str, written: dict[str, object], meant: str
) -> None:
    wrong = next(iter(written))
    told = [str(problem) for problem in problems_of(**{section: written}) if problem.path == f"{section}.{wrong}"]
    assert told == [f"{section}.{wrong}: unknown key (did you mean {meant}?)"]
