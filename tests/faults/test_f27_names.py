"""F27: names that differ by case or composition only, and long ones, never meet in a folder's name."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy

pytestmark = pytest.mark.faults

NAMES = ("Run", "run", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "x" * 300)


def test_f27_folders_are_cell_ids_and_names_stand_in_the_store(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path
) -> None:
    toy = make_toy(scripts=NAMES, seeds=(0,))
    done = toy.run()
    if done.returncode == 2:  # a name the config refuses is named; the others have to work
        assert "variant" in done.stderr
        assert "x" * 40 in done.stderr or "é" in unicodedata.normalize("NFC", done.stderr), done.stderr
        toy = make_toy(scripts=("Run", "run"), seeds=(0,))
        done = toy.run()
    assert done.returncode == 0, done.stderr
    folders = [path.name for path in toy.layout.cells.iterdir()]
    assert len(folders) == len(toy.states()) == len({name.lower() for name in folders})
    assert all(len(name) == 16 and set(name) <= set("0123456789abcdef") for name in folders)
    out = tmp_path / "cells.json"
    assert toy.command("export", str(toy.folder), "--out", str(out)).returncode == 0
    assert len({row["variant"] for row in json.loads(out.read_text("utf-8"))}) == len(folders)
    assert toy.dump() == clean_dump(toy)
