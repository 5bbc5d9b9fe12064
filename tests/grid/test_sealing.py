"""Sealed trials: no hub, no secrets, for this process and its children; afterwards everything is as before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from huggingface_hub import constants

from grid.sealing import sealed

SAY = "import json, os; print(json.dumps({k: os.environ.get(k) for k in ('HF_TOKEN', 'HF_HUB_OFFLINE', 'PATH')}))"


def child() -> dict[str, str | None]:
    said = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, check=True, timeout=30).stdout
    found: dict[str, str | None] = json.loads(said)
    return found


def test_children_get_neither_network_nor_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canarycanarycanary")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    was_offline = constants.HF_HUB_OFFLINE
    with sealed():
        assert child() == {"HF_TOKEN": None, "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]}
        assert constants.is_offline_mode(), "a trial in this process asks no hub either"
    with sealed(keep=("HF_TOKEN",)):
        assert child()["HF_TOKEN"] == "hf_canarycanarycanary", "what the results folder's server asks for stays"
    assert child()["HF_TOKEN"] == "hf_canarycanarycanary" and "HF_HUB_OFFLINE" not in os.environ
    assert constants.HF_HUB_OFFLINE is was_offline
