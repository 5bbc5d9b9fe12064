"""The hub path for real: huggingface_hub and datasets against a hub on loopback, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.data.hub import is_commit
from tests.fakes.hub import TOKEN, FakeHub

ROOT = Path(__file__).parents[3]
NAMES = ["joy", "anger", "neutral"]
README = b"""---
configs:
- config_name: simplified
  data_files:
  - {split: train, path: simplified/train-*}
  - {split: validation, path: simplified/validation-*}
  - {split: test, path: simplified/test-*}
---
"""
PRELUDE = """
import dataclasses, json, sys
from pathlib import Path
from jobs.data import read_rows, resolve_hub_revision
from jobs.errors import FineGridError
from jobs.spec import DataSpec

def tell(function):
    try:
        value = function()
    except FineGridError as error:
        value = [type(error).__name__, str(error)]
    print(json.dumps(value))

EMO = DataSpec(source="hub", id="owner/emo", subset="simplified")

def rows(revision, cache=None, **changes):
    corpus = read_rows(dataclasses.replace(EMO, revision=revision, **changes), cache=cache)
    texts, names = list(corpus.texts), list(corpus.label_names)
    return [texts, list(corpus.row_ids), corpus.label_ids.tolist(), corpus.splits.tolist(), names]
"""


def _parquet(prefix: str, labels: list[list[int]]) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    feature = {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"}
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "labels": feature,
        "id": {"dtype": "string", "_type": "Value"},
    }
    schema = pa.schema(
        {"text": pa.string(), "labels": pa.list_(pa.int64()), "id": pa.string()},
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    count = range(len(labels))
    cells = {"text": [f"{prefix} text {i}" for i in count], "labels": labels, "id": [f"{prefix}{i}" for i in count]}
    buffer = io.BytesIO()
    pq.write_table(pa.table(cells, schema=schema), buffer)
    return buffer.getvalue()


def _files(word: str = "") -> dict[str, bytes]:
    return {
        "README.md": README,
        "simplified/train-00000-of-00001.parquet": _parquet(f"{word}train", [[0], [1, 2], [2]]),
        "simplified/validation-00000-of-00001.parquet": _parquet(f"{word}dev", [[1]]),
        "simplified/test-00000-of-00001.parquet": _parquet(f"{word}test", [[0]]),
    }


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def _run(hub: FakeHub, home: Path, code: str, *arguments: str, **environment: str) -> list[Any]:
    """What the code told, in a process whose hub is the fake one."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *arguments],
        env={**inherited, **hub.environment(home), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}\n{result.stderr[-3000:]}"
    return [json.loads(line) for line in result.stdout.splitlines()]


EXPECTED = [
    ["train text 0", "train text 1", "train text 2", "dev text 0", "test text 0"],
    ["train0", "train1", "train2", "dev0", "test0"],
    [0, 1, 2, 2, 1, 0],
    [0, 0, 0, 1, 2],
    NAMES,
]


def test_pin_read_move_and_work_without_network(hub: FakeHub, tmp_path: Path) -> None:
    first = hub.add_repo("dataset", "owner/emo", _files())
    cache, home = str(tmp_path / "cache"), tmp_path / "home"
    code = """
    first, cache = sys.argv[1], Path(sys.argv[2])
    tell(lambda: resolve_hub_revision("owner/emo"))
    tell(lambda: rows(first, cache=cache))
    """
    commit, found = _run(hub, home, code, first, cache)
    assert commit == first and is_commit(first)
    assert found == EXPECTED

    # The branch moves: the pin still means the old rows, main the new ones.
    second = hub.commit("dataset", "owner/emo", _files("new "))
    code = """
    first, second, cache = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    tell(lambda: resolve_hub_revision("owner/emo"))
    tell(lambda: resolve_hub_revision("owner/emo", first))
    tell(lambda: rows(first, cache=cache))
    tell(lambda: rows(second, cache=cache)[0][0])
    """
    assert _run(hub, home, code, first, second, cache) == [second, first, EXPECTED, "new train text 0"]

    # Without any network: our cache serves both, and the datasets library is not even imported.
    hub.requests.clear()
    code = """
    first, second, cache = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    tell(lambda: rows(first, cache=cache))
    tell(lambda: rows(second, cache=cache)[0][0])
    print(json.dumps("datasets" in sys.modules))
    """
    assert _run(hub, home, code, first, second, cache) == [EXPECTED, "new train text 0", False]
    assert hub.requests == []


def test_a_csv_repository_without_card_ids_or_label_names(hub: FakeHub, tmp_path: Path) -> None:
    good = hub.add_repo("dataset", "owner/plain", {"train.csv": b"text,label\nfine,wild\nb,calm\n"})
    missing = hub.commit("dataset", "owner/plain", {"train.csv": b"text,label\nNA,wild\nb,calm\n"})
    broken = hub.commit("dataset", "owner/plain", {"train.csv": b'text,label\n"a" b,wild\n"x,calm\n'})
    code = """
    for revision in sys.argv[1:]:
        tell(lambda: rows(revision, id="owner/plain", subset=None))
    """
    found, na, quotes = _run(hub, tmp_path, code, good, missing, broken)
    assert found == [["fine", "b"], ["train-0", "train-1"], [1, 0], [0, 0], ["calm", "wild"]]
    # The library turns NA into nothing; a text is never silently lost.
    assert na[0] == "DataError"
    assert f"owner/plain@{missing[:12]}:1: the text is missing" in na[1]
    assert quotes[0] == "DataError"


def test_offline_the_library_never_passes_off_another_commit(hub: FakeHub, tmp_path: Path) -> None:
    first = hub.add_repo("dataset", "owner/emo", _files())
    second = hub.commit("dataset", "owner/emo", _files("new "))
    assert _run(hub, tmp_path, "tell(lambda: rows(sys.argv[1]))", second)[0][0][0] == "new train text 0"
    code = """
    tell(lambda: rows(sys.argv[1]))
    tell(lambda: rows(sys.argv[2])[0][0])
    """
    refused, served = _run(hub, tmp_path, code, first, second, HF_HUB_OFFLINE="1")
    assert refused[0] == "EnvironmentProblem"
    assert "not cached and the hub cannot be reached" in refused[1]
    assert served == "new train text 0"


def test_messages_for_everything_that_can_be_wrong(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add_repo("dataset", "owner/emo", _files())
    gated = hub.add_repo("dataset", "owner/shut", _files(), gated=True)
    hub.add_repo("model", "owner/llama", {"config.json": b"{}"}, gated=True)
    code = """
    commit, gated = sys.argv[1:]
    tell(lambda: resolve_hub_revision("owner/shut"))
    tell(lambda: rows(gated, id="owner/shut"))
    tell(lambda: resolve_hub_revision("owner/llama", kind="model"))
    tell(lambda: resolve_hub_revision("owner/none"))
    tell(lambda: rows("0" * 40))
    tell(lambda: resolve_hub_revision("owner/emo", "v2"))
    tell(lambda: rows(commit, subset="simplifed"))
    tell(lambda: rows(commit, label_column="mood"))
    """
    found = _run(hub, tmp_path, code, commit, gated)
    kinds = [kind for kind, _ in found]
    assert kinds == ["EnvironmentProblem"] * 6 + ["DataError"] * 2
    expected = [
        f"dataset owner/shut is gated: accept its terms at {hub.url}/datasets/owner/shut and set HF_TOKEN",
        "dataset owner/shut is gated",
        f"model owner/llama is gated: accept its terms at {hub.url}/owner/llama and set HF_TOKEN",
        "dataset owner/none does not exist on the hub, or it is private",
        f"dataset owner/emo has no revision '{'0' * 40}'",
        "dataset owner/emo has no revision 'v2'",
        "no subset 'simplifed'",
        "no column 'mood'; it has text, labels, id; set dataset.label_column",
    ]
    for (_, message), words in zip(found, expected, strict=True):
        assert words in message


def test_busy_hub_is_transient_and_a_cached_branch_serves_meanwhile(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add_repo("model", "owner/bert", {"config.json": b"{}"})
    download = """
    from huggingface_hub import hf_hub_download
    tell(lambda: resolve_hub_revision("owner/bert", kind="model"))
    hf_hub_download("owner/bert", "config.json")
    """
    assert _run(hub, tmp_path / "warm", download) == [commit]
    ask = 'tell(lambda: resolve_hub_revision("owner/bert", kind="model"))'
    hub.broken_status = 503
    assert _run(hub, tmp_path / "warm", ask) == [commit]
    ((kind, message),) = _run(hub, tmp_path / "cold", ask)
    assert kind == "TransientProblem"
    assert "503" in message
    assert _run(hub, tmp_path / "warm", ask, HF_HUB_OFFLINE="1") == [commit]


def test_a_token_goes_to_trusted_endpoints_only(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add_repo("dataset", "owner/emo", _files(), gated=True)
    ask = """
    tell(lambda: resolve_hub_revision("owner/emo"))
    tell(lambda: rows(sys.argv[1])[1])
    """
    found = _run(hub, tmp_path, ask, commit, HF_TOKEN=TOKEN)
    assert [kind for kind, _ in found] == ["EnvironmentProblem"] * 2
    assert not any(request.has_token for request in hub.requests)
    assert not any(TOKEN in message for _, message in found)
    trusting = {"HF_TOKEN": TOKEN, "FINEGRID_TRUSTED_ENDPOINT": hub.url}
    assert _run(hub, tmp_path, ask, commit, **trusting) == [commit, EXPECTED[1]]


def test_the_fake_hub_serves_whole_models(hub: FakeHub, tmp_path: Path) -> None:
    files = {"config.json": b'{"model_type": "bert"}', "sub/weights.bin": bytes(range(256)) * 50}
    commit = hub.add_repo("model", "owner/bert", files)
    code = """
    from huggingface_hub import snapshot_download
    folder = Path(snapshot_download("owner/bert"))
    found = {str(path.relative_to(folder)): path.read_bytes().hex() for path in folder.rglob("*") if path.is_file()}
    print(json.dumps([folder.name, found]))
    """
    assert _run(hub, tmp_path, code) == [[commit, {name: content.hex() for name, content in files.items()}]]
