"""Model names a config may use: the table of known names, and what any other name stands for.

A name is, in this order, a known name, an existing folder, or a hub id `owner/name`; everything else is refused
with the nearest known name. Revisions are never written here: they are resolved and pinned at the first run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from grid.paths import expanded
from grid.suggest import nearest
from jobs.errors import Problem


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """One row of the table."""

    source: str
    """hub | tiny."""
    location: str
    """Hub id, or the tiny member's family key."""
    family: str
    """bert | distilbert | roberta | qwen2 | qwen3 | llama | gpt2 | gemma3 | deberta-v2."""
    parameters: int
    """All weights, for memory and disk estimates."""
    compute_parameters: int
    """Weights outside the embeddings, for time estimates."""
    gated: bool = False
    """True: the hub asks for an accepted licence and a token."""


def _hub(location: str, family: str, parameters: float, compute: float, *, gated: bool = False) -> KnownModel:
    return KnownModel(
        source="hub",
        location=location,
        family=family,
        parameters=round(parameters * 1e6),
        compute_parameters=round(compute * 1e6),
        gated=gated,
    )


def _tiny(family: str) -> KnownModel:
    # Rough: the real size is decided where the tiny models are built, and estimates need no more.
    return KnownModel(source="tiny", location=family, family=family, parameters=250_000, compute_parameters=70_000)


KNOWN_MODELS: Mapping[str, KnownModel] = {
    "bert-base-uncased": _hub("google-bert/bert-base-uncased", "bert", 110, 86),
    "distilbert-base-uncased": _hub("distilbert/distilbert-base-uncased", "distilbert", 66, 43),
    "roberta-base": _hub("FacebookAI/roberta-base", "roberta", 125, 86),
    "deberta-v3-small": _hub("microsoft/deberta-v3-small", "deberta-v2", 141, 43),
    "deberta-v3-base": _hub("microsoft/deberta-v3-base", "deberta-v2", 184, 86),
    "qwen2.5-0.5b": _hub("Qwen/Qwen2.5-0.5B", "qwen2", 494, 358),
    "qwen2.5-1.5b": _hub("Qwen/Qwen2.5-1.5B", "qwen2", 1544, 1310),
    "qwen3-0.6b": _hub("Qwen/Qwen3-0.6B-Base", "qwen3", 596, 440),
    "qwen3-1.7b": _hub("Qwen/Qwen3-1.7B-Base", "qwen3", 1721, 1410),
    "llama-3.2-1b": _hub("meta-llama/Llama-3.2-1B", "llama", 1236, 973, gated=True),
    "llama-3.2-3b": _hub("meta-llama/Llama-3.2-3B", "llama", 3213, 2819, gated=True),
    "gpt2": _hub("openai-community/gpt2", "gpt2", 124, 85),
    "gpt2-medium": _hub("openai-community/gpt2-medium", "gpt2", 355, 302),
    "gpt2-large": _hub("openai-community/gpt2-large", "gpt2", 774, 708),
    "gpt2-xl": _hub("openai-community/gpt2-xl", "gpt2", 1558, 1475),
    "gemma-3-270m": _hub("google/gemma-3-270m", "gemma3", 268, 100, gated=True),
    "gemma-3-1b": _hub("google/gemma-3-1b-pt", "gemma3", 1000, 698, gated=True),
    "tiny-bert": _tiny("bert"),
    "tiny-distilbert": _tiny("distilbert"),
    "tiny-roberta": _tiny("roberta"),
    "tiny-qwen2.5": _tiny("qwen2"),
    "tiny-qwen3": _tiny("qwen3"),
    "tiny-llama-3.2": _tiny("llama"),
    "tiny-gpt2": _tiny("gpt2"),
    "tiny-gemma-3": _tiny("gemma3"),
    "tiny-deberta-v3": _tiny("deberta-v2"),
}

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """What a declared model name stands for, before its revision is known."""

    declared: str
    """As written in the config."""
    name: str
    """As shown in tables: unique within the grid."""
    source: str
    """hub | folder | tiny."""
    location: str
    """Hub id, absolute folder, or the tiny member's family."""
    requested: str | None = None
    """Revision that the config asks for (hub only); None: the newest at the first run."""


def reference(declared: str, path: str) -> ModelReference | Problem:
    """Find what a model name stands for.

    Args:
        declared: the name as written in the config.
        path: where it stands there, for the message.

    Returns:
        the reference, or the problem with the nearest known name.
    """
    known = KNOWN_MODELS.get(declared)
    if known is not None:
        return ModelReference(declared=declared, name=declared, source=known.source, location=known.location)
    if not declared or not declared.isprintable():
        return Problem(path, "a model name must be printable text")
    folder = expanded(declared)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            return Problem(path, "this folder holds no model: config.json is missing", declared)
        return ModelReference(
            declared=declared, name=folder.resolve().name, source="folder", location=str(folder.resolve())
        )
    if _HUB_ID.fullmatch(declared) and ".." not in declared:
        return ModelReference(declared=declared, name=declared, source="hub", location=declared)
    rule = "is no known model, no existing folder with config.json and no hub id owner/name"
    return Problem(path, rule, declared, nearest(declared, KNOWN_MODELS))


def distinct_names(references: Iterable[ModelReference]) -> dict[str, str]:
    """Choose the name shown for each declared name, so that no two are equal.

    Folders with equal base names get as many parent folders in front as it takes.

    Args:
        references: all models of one grid.

    Returns:
        shown name by declared name.
    """
    found = list(references)
    names = {item.declared: item.name for item in found}
    folders = [item for item in found if item.source == "folder"]
    depth = 1
    while len(set(names.values())) < len(names) and depth < 64:
        depth += 1
        counts = list(names.values())
        for item in folders:
            if counts.count(names[item.declared]) > 1:
                names[item.declared] = "/".join(Path(item.location).parts[-depth:]).replace("//", "/")
    return names


def known_location(source: str, location: str) -> KnownModel | None:
    """Find the table's row for a model by where it lives."""
    return next((row for row in KNOWN_MODELS.values() if (row.source, row.location) == (source, location)), None)
