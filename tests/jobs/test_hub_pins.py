"""Pins in the cache: one small file a name, wherever the name would lead."""

from __future__ import annotations

from pathlib import Path

from jobs.hub_pins import pin_name, read_pin, write_pin

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    name = pin_name("model", "owner/name", None)
    assert name == "model:owner/name" and read_pin(tmp_path, name) is None
    write_pin(tmp_path, name, COMMIT)
    assert read_pin(tmp_path, name) == COMMIT
    write_pin(tmp_path, name, COMMIT[::-1])
    assert read_pin(tmp_path, name) == COMMIT[::-1]


def test_a_branch_has_a_pin_of_its_own_inside_the_folder(tmp_path: Path) -> None:
    names = [pin_name("model", "owner/name", branch) for branch in ("refs/pr/1", "../../../x", "main")]
    for name in names:
        write_pin(tmp_path / "cache", name, COMMIT)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert len(list((tmp_path / "cache" / "pins").iterdir())) == len(names)


def test_a_damaged_pin_is_none(tmp_path: Path) -> None:
    name = pin_name("dataset", "owner/name", None)
    write_pin(tmp_path, name, COMMIT)
    (path,) = (tmp_path / "pins").iterdir()
    path.write_bytes(b"\xff\xfe")
    assert read_pin(tmp_path, name) is None
