"""What a model's folder must hold and must not hold: one rule for folders, the hub's lists and the hub's cache.

Weights are read from safetensors alone: a pickle can run code when it is opened. Code that comes with a
model is never run either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SETTINGS = (CONFIG, TOKENIZER_CONFIG)
"""Small files that could name code to run: looked at before anything large is fetched."""
_SHARD = re.compile(r"model-[0-9]+-of-[0-9]+\.safetensors")
_PICKLED = re.compile(r".*\.(bin|pt|pth|pkl|ckpt|pickle)")
_WORDS = frozenset(
    {"tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model"}
)
"""Files that hold a vocabulary: a tokenizer has at least one of them."""
_BESIDE = re.compile(
    r"tokenizer.*|special_tokens_map\.json|added_tokens\.json|merges\.txt|chat_template.*|generation_config\.json"
)
_MAX_JSON_BYTES = 64 * 2**20


def used_files(names: Collection[str]) -> list[str]:
    """Choose what to fetch of a repository: settings and tokenizer first, weights last.

    Args:
        names: all paths in it.

    Returns:
        paths in the order in which to fetch them; as weights come last, a cache that has them has the rest.
    """
    small = [name for name in names if name in (CONFIG, *_WORDS) or ("/" not in name and _BESIDE.fullmatch(name))]
    if WEIGHTS in names:
        return [*sorted(small), WEIGHTS]
    shards = sorted(name for name in names if _SHARD.fullmatch(name))
    return [*sorted(small), *([INDEX] if INDEX in names else []), *shards]


def missing_part(names: Collection[str]) -> str | None:
    """Say which part of a model is not there, or None.

    Args:
        names: all paths in its folder or repository.
    """
    if CONFIG not in names:
        return f"holds no model: {CONFIG} is missing"
    if WEIGHTS not in names and INDEX not in names:
        pickled = sorted(name for name in names if _PICKLED.fullmatch(name))
        if pickled:
            return (
                f"has no {WEIGHTS}; {pickled[0]} may run code when it is opened and is never read:"
                " convert it to safetensors, or use a revision that has them"
            )
        return f"has no weights: {WEIGHTS} is missing"
    if not _WORDS & set(names):
        return f"has no tokenizer: one of {', '.join(sorted(_WORDS))} is needed"
    return None


def folder_problem(folder: Path) -> str | None:
    """Say why a folder cannot be used as a model, or None.

    Args:
        folder: a model's folder, or a snapshot in the hub's cache.

    Returns:
        a missing part, a shard that is not there, code that would have to run, or a file that is no JSON.
    """
    try:
        names = {path.name for path in folder.iterdir() if path.is_file()}
        problem = missing_part(names)
        if problem is None and WEIGHTS not in names:
            problem = _shard_problem(_read_object(folder / INDEX), names)
        return problem or remote_code_problem(folder)
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"


def remote_code_problem(folder: Path) -> str | None:
    """Say whether a model's settings ask for code of its own, or None.

    Args:
        folder: holds config.json and, if any, tokenizer_config.json.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is no JSON object.
    """
    for name in SETTINGS:
        path = folder / name
        if path.is_file() and _read_object(path).get("auto_map"):
            return (
                f"wants to run Python code of its own ({name}: auto_map); FineGrid never runs code that comes with a"
                " model (there is no trust_remote_code): use a model of a supported family without it"
            )
    return None


def _shard_problem(index: dict[str, Any], names: Collection[str]) -> str | None:
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        return f"{INDEX} names no files"
    for shard in sorted({str(place) for place in places.values()}):
        if not _SHARD.fullmatch(shard):
            return f"{INDEX} names {shard!r}, which is no file of this model"
        if shard not in names:
            return f"has not all weights: {shard} is missing"
    return None


def _read_object(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise ValueError(f"{path.name} is larger than {_MAX_JSON_BYTES} bytes")
    value = json.loads(path.read_text("utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return value
