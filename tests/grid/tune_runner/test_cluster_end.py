"""The last line of a run on a cluster: the command that ends it, with the cluster files that come with FineGrid."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from grid.tune_runner.cluster_end import FILES, how_to_end

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("provider", sorted(FILES))
def test_the_command_names_the_file_of_that_provider(provider: str) -> None:
    cluster = YAML(typ="safe").load((ROOT / FILES[provider]).read_text(encoding="utf-8"))
    assert cluster["provider"]["type"] == provider
    line = how_to_end(cluster)
    assert line.endswith(f"ray down -y {FILES[provider]}")
    assert f"cluster {cluster['cluster_name']} is still up" in line


def test_an_unknown_provider_is_no_error() -> None:
    assert "ray down -y and the file it was started with" in how_to_end({"provider": {"type": "azure"}})
    assert "ray down" in how_to_end({})
