"""Tiny members that are hardly pretrained: nothing here depends on what they know, and nine of them take a minute.

And the workshop in which tests train.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobs.trial import Workshop

STEPS = 20


@pytest.fixture(scope="package", autouse=True)
def hardly_pretrained() -> Iterator[None]:
    """Fewer steps for all but BERT, which other processes build for themselves; they lie in folders of their own."""
    from jobs.models import tiny

    others = [key for key in tiny._CONFIGS if key != "bert"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "_STEPS_OF", dict.fromkeys(others, STEPS))
        yield


@pytest.fixture
def workshop(tmp_path: Path, cache: Path) -> Workshop:
    """A results folder of this test alone; bases that are built come from the shared cache."""
    from jobs.trial import Workshop  # imports torch, which tests of data do without

    return Workshop(tmp_path / "results", cache)
