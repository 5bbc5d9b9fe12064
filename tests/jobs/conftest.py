"""Tiny members that are hardly pretrained: nothing here depends on what they know, and nine of them take a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

STEPS = 20


@pytest.fixture(scope="package", autouse=True)
def hardly_pretrained() -> Iterator[None]:
    """Fewer steps for all but BERT, which other processes build for themselves; they lie in folders of their own."""
    from jobs.models import tiny

    others = [key for key in tiny._CONFIGS if key != "bert"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "_STEPS_OF", dict.fromkeys(others, STEPS))
        yield
