"""Reading a checkpoint's files: where they are, its settings and tokenizer, and one clear error for every failure."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from jobs.data.hub_errors import hub_problem
from jobs.errors import EnvironmentProblem, UserError
from jobs.models.tiny import tiny_folder
from jobs.spec import ModelSpec


def location_of(spec: ModelSpec, cache: Path) -> tuple[str, str | None]:
    """What to hand to `from_pretrained`: a folder or hub id, and the revision on the hub.

    Raises:
        UserError: the declared folder holds no model.
    """
    if spec.source == "tiny":
        return str(tiny_folder(spec.location, cache)), None
    if spec.source == "folder":
        if not (Path(spec.location) / "config.json").is_file():
            raise UserError(f"model {spec.name}: {spec.location} has no config.json")
        return spec.location, None
    return spec.location, spec.revision


def read(load: Any, spec: ModelSpec) -> Any:
    """Run a loader; every way in which the hub or a folder can fail becomes one clear error."""
    try:
        return load()
    except (OSError, ValueError) as error:
        if spec.source == "hub":
            raise hub_problem(error, spec.location, kind="model", revision=spec.revision).error from error
        raise EnvironmentProblem(f"model {spec.name}: cannot load {spec.location}: {error}") from error


def read_config(spec: ModelSpec, location: str, revision: str | None) -> Any:
    """A checkpoint's settings; of a model for several kinds of input those of its text model.

    Raises:
        UserError: the model wants to run code of its own.
        EnvironmentProblem: they cannot be read or fetched.
    """
    config = read(lambda: AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False), spec)
    _refuse_code(spec, config)
    return getattr(config, "text_config", None) or config


def _refuse_code(spec: ModelSpec, config: Any) -> None:
    """Preflight looks for this as well; on a cluster the machine that fetches a model looks again.

    Raises:
        UserError: the model's settings name code of its own.
    """
    if getattr(config, "auto_map", None):
        raise UserError(
            f"model {spec.name} wants to run Python code of its own (auto_map); FineGrid never runs code that comes"
            " with a model: use a model of a supported family without it"
        )


def load_tokenizer(spec: ModelSpec, location: str, revision: str | None, config: Any) -> Any:
    """The tokenizer of a model, padding at the right.

    Args:
        spec: which model.
        location: as `location_of` says.
        revision: likewise.
        config: the model's, of its text part.
    Raises:
        UserError: it knows more tokens than the model.
        EnvironmentProblem: it cannot be read or fetched.
    """
    # A tiny member's own tokenizer is not the one that AutoTokenizer would pick for its model type.
    loader = PreTrainedTokenizerFast if spec.source == "tiny" else AutoTokenizer
    tokenizer = read(
        lambda: loader.from_pretrained(location, revision=revision, padding_side="right", trust_remote_code=False), spec
    )
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"model {spec.name}: its tokenizer knows {len(tokenizer)} tokens, its embedding only "
            f"{config.vocab_size}; the folder mixes files of two models"
        )
    return tokenizer


def quiet_libraries() -> None:
    """Silence progress bars of the libraries: the driver draws one for the whole grid.

    Side effects:
        sets environment variables and library verbosity of this process.
    """
    from transformers.utils import logging as transformers_logging

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # It recommends a kernel for single tokens that training never uses.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
