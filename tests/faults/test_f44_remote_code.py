"""F44: a model that brings code: refused before anything is fetched or run, from the hub and from a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jobs.models.tiny import tiny_folder
from tests.fakes.hub import FakeHub
from tests.faults.conftest import MakeTiny
from tests.faults.hub_grids import MODEL_FILES, hub_grid

pytestmark = pytest.mark.faults


def test_f44_code_is_neither_fetched_nor_run(make_tiny: MakeTiny, tmp_path: Path, cache: Path) -> None:
    mark = tmp_path / "executed"
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
    asks = {"model_type": "bert", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    with FakeHub() as hub:
        files = {**MODEL_FILES, "config.json": json.dumps(asks).encode(), "evil.py": code.encode()}
        hub.add_repo("model", "owner/coder", files)
        grid = hub_grid(hub, tmp_path / "hub", axes={"model": ["owner/coder"]})
        refused = grid.run()
        assert refused.returncode == 3 and "never runs code" in refused.stderr, refused.stderr
        fetched = {request.path.rpartition("/")[2] for request in hub.requests if "/resolve/" in request.path}
        assert "config.json" in fetched and not fetched & {"evil.py", "model.safetensors"}

    model = tmp_path / "model"
    shutil.copytree(tiny_folder("bert", cache), model)
    config = json.loads((model / "config.json").read_text("utf-8"))
    (model / "config.json").write_text(json.dumps({**config, "auto_map": asks["auto_map"]}), encoding="utf-8")
    (model / "evil.py").write_text(code, encoding="utf-8")
    local = make_tiny(axes={"model": [str(model)], "strategy": ["lora"], "seed": [0]})
    said = local.run()
    assert said.returncode == 2 and "never runs code" in said.stderr, said.stderr
    opted = local.run("--set", "trust_remote_code=true")
    assert opted.returncode == 2 and "trust_remote_code" in opted.stderr, "there is no way to opt in"
    assert not mark.exists()
