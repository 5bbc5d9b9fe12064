"""What the commands of the benchmarks share: options, a result on screen and in a file, a folder that goes away."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def shared() -> ModuleType:
    return import_module("command_line")


def test_a_result_is_a_table_on_screen_and_json_in_the_file(
    shared: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared.give({"speedup": 2.5}, out=tmp_path / "result.json", table=lambda found: f"| {found['speedup']} |")
    assert capsys.readouterr().out == "| 2.5 |\n"
    assert (tmp_path / "result.json").read_text("utf-8") == '{\n "speedup": 2.5\n}\n'
    shared.give({"speedup": 2.5})
    assert json.loads(capsys.readouterr().out) == {"speedup": 2.5}


def test_what_is_said_meanwhile_is_no_part_of_the_result(
    shared: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    shared.say("repeat 1 of 3")
    assert capsys.readouterr() == ("", "repeat 1 of 3\n")


def test_options_have_the_words_of_the_command(shared: ModuleType) -> None:
    parser = shared.new_parser("first line\n\n    a command")
    shared.add_source(parser, is_required=False, model="a folder")
    shared.add_output(parser, in_file="here too")
    text = parser.format_help()
    assert "first line\n\n    a command" in text and "a folder" in text and "here too" in text
    found = parser.parse_args(["--out", "x.json"])
    assert vars(found) == {"model": None, "data": None, "json": False, "out": Path("x.json")}


def test_a_command_without_its_source_is_refused(shared: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    parser = shared.new_parser(None)
    shared.add_source(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--model", "x"])
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_working_folder_goes_away_unless_it_is_kept(shared: ModuleType, tmp_path: Path, is_kept: bool) -> None:
    with (
        pytest.raises(RuntimeError, match="measured nothing"),
        shared.working_folder(tmp_path, is_kept=is_kept) as folder,
    ):
        (folder / "inside").mkdir()
        raise RuntimeError("measured nothing")
    assert [path.name for path in tmp_path.rglob("inside")] == ["inside"] * is_kept
