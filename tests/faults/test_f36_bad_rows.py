"""F36: files whose rows are broken, end to end: faults with file and line, exit 2; or dropped, counted, to a share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.storage import read_result
from tests.faults.harness import Grid, write_document

GOOD = [
    (f"text number {number} says {'joy' if number % 2 else 'anger'}", "joy" if number % 2 else "anger")
    for number in range(80)
]


def csv(rows: list[tuple[str, str]], header: str = "text,label") -> bytes:
    return "\n".join([header, *(f"{text},{label}" for text, label in rows), ""]).encode()


def grid_of(tmp_path: Path, cache: Path, content: bytes, **dataset: object) -> Grid:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    document = {
        "name": "rows",
        "axes": {"num_labels": [2], "num_samples": [20], "seed": [0]},
        "baselines": ["majority"],
        "dataset": {"source": "files", "path": str(path), "test_per_label": 5, "validation_per_label": 5, **dataset},
    }
    return Grid(
        folder=tmp_path / "results", config=write_document(tmp_path, document), trial_module="jobs.trial", cache=cache
    )


BROKEN = {
    "lost column": (csv([*GOOD, ("lonely", "")]).replace(b"lonely,", b"lonely"), "rows.csv:82"),
    "extra column": (csv([("one,two,three", "joy"), *GOOD]), "rows.csv:2"),
    "open quote": (csv([*GOOD, ('"never closed', "joy"), ("more", "joy")]), "rows.csv:82"),
    "bad UTF-8": (csv(GOOD) + b"caf\xe9,joy\n", "rows.csv"),
    "empty file": (b"", "rows.csv"),
    "header only": (b"text,label\n", "rows.csv"),
    "one class": (csv([(text, "joy") for text, _ in GOOD]), "only one label"),
    "wrong header": (csv(GOOD, header="words,mood"), "words"),
    "doubled id": (
        b"id,text,label\n"
        + b"".join(f"{max(number, 1)},{text},{label}\n".encode() for number, (text, label) in enumerate(GOOD)),
        "rows.csv:3",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_f36_broken_rows_are_told_with_their_line(tmp_path: Path, cache: Path, name: str) -> None:
    content, place = BROKEN[name]
    grid = grid_of(tmp_path, cache, content)
    finished = grid.command("plan", str(grid.config), "--results", str(grid.folder), "--json")
    assert finished.returncode == 2, finished.stderr
    problems = " ".join(json.dumps(problem) for problem in finished.json["problems"])
    assert place in problems, problems
    assert not grid.folder.exists()


def test_f36_rows_may_be_dropped_up_to_a_share_and_are_counted(tmp_path: Path, cache: Path) -> None:
    content = b"\xef\xbb\xbf" + csv([*GOOD, ("a,b,c", "joy")])  # with a byte order mark
    too_many = grid_of(tmp_path, cache, content, bad_rows="drop", max_bad_fraction=0.001)
    assert too_many.run().returncode == 2 and not too_many.folder.exists()
    grid = grid_of(tmp_path, cache, content, bad_rows="drop", max_bad_fraction=0.05)
    finished = grid.run()
    assert finished.returncode == 0, finished.stderr
    (folder,) = grid.result_folders()
    assert read_result(folder).counts["bad_rows_dropped"] == 1


def test_f36_training_rows_in_the_test_set_are_refused(tmp_path: Path, cache: Path) -> None:
    rows = csv([*GOOD, *GOOD[:4]])
    (tmp_path / "train.csv").write_bytes(rows)
    (tmp_path / "test.csv").write_bytes(csv(GOOD[:20]))
    grid = grid_of(tmp_path, cache, rows, path=str(tmp_path), protocol="official")
    (tmp_path / "rows.csv").unlink()
    finished = grid.run("--set", "axes.num_samples=[all]", "--set", "axes.num_labels=[all]")
    assert finished.returncode == 2, finished.stderr
    assert "test" in finished.stderr and "overlap" in finished.stderr
    assert not grid.folder.exists()
