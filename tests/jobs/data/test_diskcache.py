"""Cache files: written as a whole, checked when read, rebuilt when damaged."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from jobs.data.diskcache import read_cached, write_cached


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    assert read_cached(path) is None
    write_cached(path, b"content")
    assert read_cached(path) == b"content"
    write_cached(path, b"")
    assert read_cached(path) == b""
    assert [file.name for file in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "foreign"])
def test_damage_is_found_and_logged(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file.bin"
    write_cached(path, b"content" * 100)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes({"cut": data[:60], "empty": b"", "flip": data, "foreign": b"\x80\x04not ours"}[damage])
    with caplog.at_level(logging.WARNING):
        assert read_cached(path) is None
    assert "is damaged; it is rebuilt" in caplog.text
    assert str(path) in caplog.text


def test_an_unreadable_or_unwritable_place_costs_time_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        write_cached(tmp_path / "file" / "x.bin", b"content")
        assert read_cached(tmp_path) is None
    assert "cannot be written" in caplog.text
    assert "cannot be read" in caplog.text
