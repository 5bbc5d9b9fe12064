"""The command `python -m analysis.figures`: exit codes, files and reasons."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from analysis.figures import __main__ as main
from analysis.figures.material import Material
from analysis.report_facts import Facts


def invoke(*arguments: object) -> tuple[int, str, str]:
    app = Typer()
    app.command()(main.command)
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return outcome.exit_code, outcome.stdout, outcome.stderr


@pytest.fixture
def stored(single: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every results folder seems to hold the made-up store."""
    monkeypatch.setattr(main, "load", lambda _: single.results)
    monkeypatch.setattr(main, "read_facts", lambda _: Facts())


@pytest.mark.usefixtures("stored")
def test_files_go_to_standard_output_and_reasons_to_standard_error(tmp_path: Path) -> None:
    code, out, errors = invoke(tmp_path, "--only", "trained-parameters,best-thresholds", "--only", "strategy-table")
    assert code == 0
    folder = tmp_path / "report" / "figures"
    assert out.split() == [
        str(folder / name)
        for name in (
            *("trained-parameters.png", "trained-parameters.svg"),
            *("strategy-table.csv", "strategy-table.md", "strategy-table.tex"),
        )
    ]
    assert "best-thresholds: not drawn: no finished cell fitted thresholds" in errors


@pytest.mark.usefixtures("stored")
def test_wrong_names_and_folders(tmp_path: Path) -> None:
    code, _, errors = invoke(tmp_path, "--only", "confusoin")
    assert code == 2 and "did you mean confusion" in errors
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    code, _, errors = invoke(tmp_path, "--only", "strategy-table", "--out", tmp_path / "file")
    assert code == 3 and "--out" in errors


def test_a_folder_without_a_store_exits_with_2(tmp_path: Path) -> None:
    code, _, errors = invoke(tmp_path / "nowhere")
    assert code == 2 and "nowhere" in errors
