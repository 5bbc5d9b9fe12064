"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.paths import expanded


def test_home_is_written_out_and_nobodys_home_is_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x"
    assert expanded("a/b") == Path("a/b")
    assert expanded("~nobody-has-this-name/x") == Path("~nobody-has-this-name/x")
