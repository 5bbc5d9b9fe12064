"""Tables as CSV, Markdown and LaTeX: values come back whole, and nothing in them is more than a value."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from analysis.tables import MOST_ROWS_TO_READ, Table, csv_text, latex_text, markdown_text, write_tables


def table(*rows: tuple[object, ...], columns: tuple[str, ...] = ("name", "value")) -> Table:
    return Table(name="t", caption="A table", columns=columns, rows=rows)


def test_numbers_are_whole_in_csv_and_short_for_people() -> None:
    made = table(("a", 0.123456789), ("b", None), ("c", True), ("d", float("nan")), ("e", -0.5))
    assert list(csv.reader(io.StringIO(csv_text(made)))) == [
        ["name", "value"],
        ["a", "0.123456789"],
        ["b", ""],
        ["c", "True"],
        ["d", ""],
        ["e", "-0.5"],
    ]
    assert r"| a | 0.1235 |" in markdown_text(made).replace("\\", "")
    assert r"a & 0.1235 \\" in latex_text(made)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\n=1"])
def test_no_spreadsheet_computes_a_text(text: str) -> None:
    ((_, _), (found, _)) = csv.reader(io.StringIO(csv_text(table((text, 1)))))
    assert found.startswith("'")
    assert found[1:] == text.replace("\r", "\n")


def test_markdown_stays_one_cell_and_no_markup() -> None:
    lines = markdown_text(table(("a|b\nc", "<img src=x> [x](javascript:1) `x` *y*"))).splitlines()
    assert len(lines) == 5
    unescaped = [i for i, sign in enumerate(lines[4]) if sign in "|<[`*" and lines[4][i - 1] != "\\"]
    assert [lines[4][i] for i in unescaped] == ["|", "|", "|"]


def test_latex_specials_are_letters() -> None:
    text = latex_text(table((r"a_b & 50% $x$ \input{/etc/passwd} #1 ~^", 1)))
    assert r"a\_b \& 50\% \$x\$ \textbackslash{}input\{/etc/passwd\} \#1 \textasciitilde{}\textasciicircum{}" in text
    assert text.splitlines()[1] == r"\begin{tabular}{lr}"


def test_a_caption_cannot_leave_its_comment() -> None:
    text = latex_text(Table(name="t", caption="a\n\\input{x}", columns=("c",), rows=(("v",),)))
    assert text.splitlines()[0] == "% a \\input{x}"


def test_what_no_longer_holds_is_removed(tmp_path: Path) -> None:
    write_tables(tmp_path, [table(("a", 1))])
    (tmp_path / "other.csv").write_text("kept")
    long = table(*((str(index), index) for index in range(MOST_ROWS_TO_READ + 1)))
    assert [path.name for path in write_tables(tmp_path, [long])] == ["t.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.csv", "t.csv"]
    assert write_tables(tmp_path, [], stale=["t"]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


def test_three_files_a_table(tmp_path: Path) -> None:
    paths = write_tables(tmp_path / "new", [table(("a", 1))])
    assert [path.name for path in paths] == ["t.csv", "t.md", "t.tex"]
    assert all(path.stat().st_size for path in paths)
