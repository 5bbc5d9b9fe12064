"""The end of a run: pictures and a table; what cannot be drawn is told and changes nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grid.finish import finish_pictures
from grid.store import Store
from jobs.storage import Layout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Store.open(tmp_path / "r", grid="toy").close()
    return tmp_path / "r"


def test_pictures_table_and_report_are_written_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.heatmaps.draw_defaults", lambda results: [results / "a.png"])
    console = Console(file=io.StringIO())
    written = finish_pictures(root, has_news=False, console=console)
    assert written == (root / "a.png", Layout(root).tables / "cells.csv", Layout(root).report / "index.html")
    assert written[1].exists() and written[2].exists()
    assert finish_pictures(root, has_news=False, console=console) == ()
    assert finish_pictures(root, has_news=True, console=console) == written


def test_a_picture_that_cannot_be_drawn_is_told_and_logged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(results: Path) -> list[Path]:
        raise RuntimeError("no font")

    monkeypatch.setattr("analysis.heatmaps.draw_defaults", broken)
    stream = io.StringIO()
    written = finish_pictures(root, has_news=True, console=Console(file=stream, width=300))
    assert written == (Layout(root).report / "index.html",)
    assert "no font" in stream.getvalue() and "the results are safe" in stream.getvalue()
    assert "RuntimeError: no font" in (root / "logs" / "driver.log").read_text("utf-8")


def test_a_report_that_cannot_be_written_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(results: Path) -> list[Path]:
        raise OSError("the disk is full")

    monkeypatch.setattr("analysis.heatmaps.draw_defaults", lambda results: [])
    monkeypatch.setattr("analysis.report.write_report", broken)
    stream = io.StringIO()
    written = finish_pictures(root, has_news=True, console=Console(file=stream, width=300))
    assert written == (Layout(root).tables / "cells.csv",)
    assert (
        f"The report could not be written (the disk is full); the results are safe. Again: finegrid report {root}"
        in (stream.getvalue())
    )
    assert "OSError: the disk is full" in (root / "logs" / "driver.log").read_text("utf-8")


def test_of_a_large_store_the_report_is_left_to_those_who_ask(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.heatmaps.draw_defaults", lambda results: [])
    monkeypatch.setattr("grid.finish.MOST_RESULTS", 1)
    for cell in ("a", "b"):
        (root / "cells" / cell).mkdir(parents=True)
    stream = io.StringIO()
    assert len(finish_pictures(root, has_news=True, console=Console(file=stream, width=300))) == 1
    assert "takes a while" in stream.getvalue() and not Layout(root).report.joinpath("index.html").exists()
