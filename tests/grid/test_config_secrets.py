"""A secret in a config is found wherever it stands, and not repeated."""

from __future__ import annotations

import pytest

from grid.config_secrets import secret_problems

TOKEN = "hf_canarycanarycanary"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"dataset": {"path": f"https://user:{TOKEN}@host/x"}}, "dataset.path"),
        ({"axes": {"model": ["fine", TOKEN]}}, "axes.model[1]"),
        ({"variants": {TOKEN: {}}}, "variants.[hidden]"),
        (TOKEN, "config"),
    ],
)
def test_every_place_is_named(document: object, path: str) -> None:
    (problem,) = secret_problems(document)
    assert problem.path == path and TOKEN not in str(problem) and "HF_TOKEN" in str(problem)


def test_ordinary_configs_hold_none() -> None:
    plain = {"name": "x", "axes": {"model": ["owner/name"], "seed": [1]}, "note": "set HF_TOKEN", "off": None}
    assert secret_problems(plain) == []
