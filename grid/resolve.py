"""Revisions of models and data: which exact version a declared name means.

Offline (`--dry-run`): folders and files are hashed, generators have versions, hub names stay unresolved.
Online: a full commit in the config counts as it stands; else the store's pin of an earlier run; else the hub is
asked once and the answer is kept for the store to pin. A hub that refuses does not stop the others: the refusal is
kept for preflight, which reports all of them together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from grid.known_models import ModelReference
from grid.patience import Patience
from jobs.errors import ConfigError, DataError, EnvironmentProblem, FineGridError, Problem, TransientProblem
from jobs.hub_pins import pin_name
from jobs.spec import TINY_VERSION, DataSpec, ModelSpec

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHUNK_BYTES = 1 << 20
_MODEL_FILES = re.compile(
    r"config\.json|.*\.safetensors|.*\.safetensors\.index\.json|tokenizer.*|special_tokens_map\.json"
    r"|added_tokens\.json|vocab\..*|merges\.txt|spiece\.model|sentencepiece.*"
)

Fingerprint = Callable[[DataSpec], str | None]
HubRevision = Callable[[str, str, str | None], str]
"""(kind, hub id, requested revision) -> commit; raises EnvironmentProblem or TransientProblem."""


class Resolver(Protocol):
    """Turns declared names into exact versions."""

    def model(self, reference: ModelReference) -> ModelSpec:
        """Give the model with its revision, or with None where it cannot be known now."""

    def data(self, data: DataSpec) -> DataSpec:
        """Give the data with its revision, or with None where it cannot be known now."""


class OfflineResolver:
    """Resolves what needs no network; hub revisions stay as they are pinned, or None."""

    def __init__(self, pins: Mapping[str, str] | None = None, fingerprint: Fingerprint | None = None) -> None:
        """Take the store's pins, if there is a store, and the way to hash data."""
        self._pins = dict(pins or {})
        self._fingerprint = fingerprint or _jobs_fingerprint
        self._data: dict[DataSpec, str | None] = {}

    def model(self, reference: ModelReference) -> ModelSpec:
        """Hash a folder, name the tiny generator's version, look up a pin."""
        if reference.source == "tiny":
            revision: str | None = TINY_VERSION
        elif reference.source == "folder":
            revision = hash_model_folder(Path(reference.location))
        else:
            revision = self._hub("model", reference.location, reference.requested)
        return ModelSpec(name=reference.name, source=reference.source, location=reference.location, revision=revision)

    def data(self, data: DataSpec) -> DataSpec:
        """Hash files, name the built-in corpus's version, look up a pin."""
        # What a cell takes of the rows does not change which rows there are.
        whole = dataclasses.replace(data, num_labels=None, num_samples=None, labels=None, protocol="nested")
        if whole not in self._data:
            is_hub = data.source == "hub"
            self._data[whole] = self._hub("dataset", data.id, data.revision) if is_hub else self._hash(whole)
        return dataclasses.replace(data, revision=self._data[whole])

    def _hash(self, data: DataSpec) -> str | None:
        try:
            return self._fingerprint(data)
        except DataError as error:
            raise ConfigError([Problem("dataset.path", str(error))]) from error

    def _hub(self, kind: str, location: str, requested: str | None) -> str | None:
        if requested is not None and _COMMIT.fullmatch(requested):
            return requested
        return self._pins.get(pin_name(kind, location, requested))


class OnlineResolver(OfflineResolver):
    """Asks the hub for what neither config nor store pins."""

    def __init__(
        self,
        pins: Mapping[str, str] | None = None,
        fingerprint: Fingerprint | None = None,
        hub_revision: HubRevision | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Take the store's pins, the way to hash data, the way to ask the hub and how often."""
        super().__init__(pins, fingerprint)
        self._hub_revision = hub_revision or _hub_commit
        self._patience = patience or Patience(0)
        self.new_pins: dict[str, str] = {}
        """What the store should pin, by pin name."""
        self.refusals: dict[tuple[str, str], FineGridError] = {}
        """Why the hub gave no revision, by (kind, hub id)."""

    def _hub(self, kind: str, location: str, requested: str | None) -> str | None:
        known = super()._hub(kind, location, requested)
        if known is not None or (kind, location) in self.refusals:
            return known
        try:
            revision = self._patience.call(lambda: self._hub_revision(kind, location, requested))
        except (EnvironmentProblem, TransientProblem) as error:
            self.refusals[(kind, location)] = error
            return None
        name = pin_name(kind, location, requested)
        self.new_pins[name] = self._pins[name] = revision
        return revision


def _hub_commit(kind: str, location: str, requested: str | None) -> str:
    from jobs.data import resolve_hub_revision  # asks the network: only for a run that needs the hub

    return resolve_hub_revision(location, requested, kind=kind)


def hash_model_folder(folder: Path) -> str:
    """Hash the files that decide what a local model computes.

    Args:
        folder: holds config.json, safetensors files and tokenizer files.

    Returns:
        sha256 over the names and contents of config, weights and tokenizer, in hex.

    Raises:
        EnvironmentProblem: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.iterdir() if _MODEL_FILES.fullmatch(path.name) and path.is_file()):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
    except OSError as error:
        raise EnvironmentProblem(f"model folder {folder}: {error.filename or ''}: {error.strerror}") from error
    return digest.hexdigest()


def _jobs_fingerprint(data: DataSpec) -> str | None:
    from jobs.data import fingerprint  # reads files: only where a revision is really needed

    return fingerprint(data)
