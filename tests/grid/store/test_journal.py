"""The journal: one whole line an event, refused by the disk or on it."""

import json

import pytest

from grid.store import journal
from jobs.errors import DiskFull, EnvironmentProblem


def test_every_line_is_an_object(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal.append(path, "pinned", name="a\nb", revision="ü")
    journal.append(path, "pinned", name="c", revision="1")
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["a\nb", "c"]


def test_the_first_line_makes_the_name_of_the_file_last_too(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(journal, "sync_folder", synced.append)
    for name in ("a", "b"):
        journal.append(tmp_path / "journal.jsonl", "pinned", name=name, revision="1")
    assert synced == [tmp_path]


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "fsync", full)
    with pytest.raises(DiskFull, match=r"journal\.jsonl: No space left"):
        journal.append(tmp_path / "journal.jsonl", "pinned", name="a", revision="1")
    with pytest.raises(EnvironmentProblem):
        journal.append(tmp_path / "none" / "journal.jsonl", "pinned", name="a", revision="1")


def test_unknown_events_cells_and_broken_lines_are_passed_over(bench, tmp_path):
    path = tmp_path / "journal.jsonl"
    unknown = {
        "event": "failed",
        "cell_id": "f" * 16,
        "epoch": 1,
        "attempt": 1,
        "kind": "bug",
        "reason": "",
        "log_path": "",
    }
    lines = [
        {"event": "danced"},
        unknown,
        {"event": "failed"},
        [],
        {"event": "pinned"},
        {"event": "pinned", "name": "a", "revision": "1"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n{")
    for content, num_lines in ((journal.read(path), 1), (journal.read(tmp_path / "none"), 0)):
        replayed = bench.store._books.write(lambda connection, c=content: journal.replay(connection, c, "journal"))
        assert replayed == num_lines
    assert bench.store.pins() == {"a": "1"}
