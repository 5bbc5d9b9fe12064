"""What tests of training share: one thread, as the engines of a core have it, and a second workshop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jobs.trial import Workshop


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Numbers that are compared bit for bit must not depend on how many threads an earlier test left behind."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def elsewhere(tmp_path: Path, cache: Path) -> Workshop:
    """Where nothing is ever disturbed."""
    return Workshop(tmp_path / "undisturbed", cache)
