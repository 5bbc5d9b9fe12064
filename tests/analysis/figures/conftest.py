"""One made-up store of each task for all tests of figures."""

from __future__ import annotations

import pytest

from analysis.figures.material import Material
from tests.analysis.figures.stores import store_of


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Single-label cells: full, lora and tf-idf, two sizes, two seeds."""
    return Material(results=store_of(tmp_path_factory.mktemp("single")))


@pytest.fixture(scope="session")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Multi-label cells: full and lora, one size, two seeds."""
    arms = {("bert", "full"): 0.9, ("bert", "lora"): 0.7}
    return Material(results=store_of(tmp_path_factory.mktemp("multi"), task="multi_label", arms=arms, sizes=(400,)))
