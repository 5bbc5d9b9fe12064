"""F33: gated, unknown repository, unknown revision, missing file: four messages, no retry; the other models can run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.store import schema
from tests.fakes.hub import FakeHub
from tests.faults.hub_grids import MODEL_FILES, hub_grid, nothing_created

TOKEN = "hf_canarycanarycanary0123456789"
REFUSED = {
    "owner/gated": ("is gated: accept its terms at {url}/owner/gated and set HF_TOKEN",),
    "owner/nobody": ("does not exist on the hub, or it is private",),
    "owner/old": ("has no revision 'v9'",),
    "owner/empty": ("has no weights: model.safetensors is missing",),
    "owner/pickled": ("pytorch_model.bin may run code when it is opened and is never read",),
    "owner/coder": ("wants to run Python code of its own", "never runs code"),
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def test_f33_every_refusal_has_its_own_message_and_only_its_cells_fail(hub: FakeHub, tmp_path: Path) -> None:
    parts = {name: content for name, content in MODEL_FILES.items() if name.endswith(".json")}
    pickled = {name: content for name, content in MODEL_FILES.items() if name != "model.safetensors"}
    hub.add_repo("model", "owner/gated", MODEL_FILES, gated=True)
    hub.add_repo("model", "owner/old", MODEL_FILES)
    hub.add_repo("model", "owner/empty", parts)
    hub.add_repo("model", "owner/pickled", pickled)
    coder = b'{"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}}'
    hub.add_repo("model", "owner/coder", {**MODEL_FILES, "config.json": coder, "evil.py": b"print('run')"})
    grid = hub_grid(hub, tmp_path, axes={"model": ["owner/bert", *REFUSED]}, revisions={"owner/old": "v9"})
    refused = grid.run("--json", env={"HF_TOKEN": TOKEN, "FINEGRID_HUB_PATIENCE_S": "60"})
    assert refused.returncode == 3, refused.stderr
    rules = [problem["rule"] for problem in refused.json["problems"]]
    assert len(rules) == len(REFUSED) and all(problem["path"] == "axes.model" for problem in refused.json["problems"])
    for name, words in REFUSED.items():
        (rule,) = [rule for rule in rules if name in rule]
        assert all(word.format(url=hub.url) in rule for word in words), rule
    assert TOKEN not in refused.stderr + refused.stdout
    assert "next try" not in refused.stderr
    for name in ("owner/nobody", "owner/old"):
        assert sum(name in request.path for request in hub.requests) == 1, "asked once"
    assert not any(request.has_token for request in hub.requests), "no token for an endpoint that is not the hub's"
    assert not any(request.path.endswith("evil.py") for request in hub.requests)
    assert nothing_created(grid)

    some = grid.run("--skip-unavailable", "--json")
    assert some.returncode == 1, some.stderr
    failed = [row for row in grid.rows(schema.cells) if row["state"] == "failed"]
    assert len({row["reason"] for row in failed}) == len(REFUSED)
    assert {row["kind"] for row in failed} == {"environment"}
    assert sorted(grid.states().values()) == ["done", *["failed"] * len(REFUSED)], some.stderr
