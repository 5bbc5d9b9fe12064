"""How many rows cells have and how long their texts are, looked up in data that lie on this machine.

Of data that are only on the hub nothing is known before they are fetched: what is taken for them is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from grid.workload import Rows, guessed_rows, is_sized, name_of, size_guesses
from jobs.errors import DataError, EnvironmentProblem, TransientProblem
from jobs.spec import CellSpec, DataSpec, ModelSpec

if TYPE_CHECKING:
    from jobs.data import Corpus

SAMPLED_TEXTS: Final = 500
"""Texts whose tokens are counted, evenly spread over all rows."""
LENGTHS: Final = 16
"""So many of their lengths are kept, from the shortest to the longest."""
MOST_PREPARED: Final = 24
"""Sets of rows that are chosen only to be counted; of others the declaration is believed."""
_CHARACTERS_A_TOKEN: Final = 4.4
_FRAME: Final = 2
"""Tokens around a text, where no tokenizer is at hand."""


class DataSizes:
    """Rows of cells, each kind looked up once."""

    def __init__(self, cache: Path) -> None:
        """Look nothing up yet.

        Args:
            cache: FineGrid's cache folder, where rows of the hub are kept.
        """
        self._cache = cache
        self._known: dict[tuple[DataSpec, ModelSpec | None, int], Rows] = {}
        self._counted: dict[DataSpec, Rows | None] = {}
        self._lengths: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._refused: set[str] = set()

    def of(self, cell: CellSpec) -> Rows:
        """What a cell sees; guesses where its data are not here, or cannot be read: the checks of a run say why."""
        key = (cell.data, cell.model, cell.recipe.max_length)
        if key not in self._known:
            self._known[key] = self._found(cell)
        return self._known[key]

    def _found(self, cell: CellSpec) -> Rows:
        guess = guessed_rows(cell)
        corpus = self._corpus(cell.data)
        if corpus is None:
            return guess
        rows = guess if is_sized(cell.data) else self._count(cell) or guess
        unknown = size_guesses(cell.data) if rows is guess else ()
        return replace(rows, lengths=self._lengths_of(cell, corpus), guesses=unknown)

    def _corpus(self, data: DataSpec) -> Corpus | None:
        """Rows that need no network; None: there are none, or they are faulty."""
        from jobs.data import read_rows
        from jobs.data.hub import is_kept

        name = name_of(data)
        if name in self._refused or not is_kept(data, self._cache):
            return None
        try:
            corpus = read_rows(data, cache=self._cache)
        except (DataError, EnvironmentProblem, TransientProblem):
            self._refused.add(name)  # `check_data` reads the same rows and says what is wrong with them
            return None
        return corpus if len(corpus) else None

    def _count(self, cell: CellSpec) -> Rows | None:
        """Choose the rows of a cell, to count them."""
        from jobs.data import prepare

        if cell.data not in self._counted:
            found = None
            if len(self._counted) < MOST_PREPARED:
                try:
                    rows = prepare(cell.data, seed=cell.seed, cache=self._cache)
                    found = Rows(train=len(rows.train), validation=len(rows.validation), test=len(rows.test))
                except DataError:
                    found = None  # `check_data` says what is wrong
            self._counted[cell.data] = found
        return self._counted[cell.data]

    def _lengths_of(self, cell: CellSpec, corpus: Corpus) -> tuple[int, ...]:
        location = cell.model.location if cell.model else ""
        key = (corpus.name, str(len(corpus)), location, str(cell.recipe.max_length))
        if key not in self._lengths:
            step = max(1, len(corpus) // SAMPLED_TEXTS)
            texts = corpus.texts[::step][:SAMPLED_TEXTS]
            counts = sorted(min(count, cell.recipe.max_length) for count in _token_counts(texts, self._tokenizer(cell)))
            places = [round(place * (len(counts) - 1) / (LENGTHS - 1)) for place in range(LENGTHS)]
            self._lengths[key] = tuple(counts[place] for place in places)
        return self._lengths[key]

    def _tokenizer(self, cell: CellSpec) -> Any | None:
        """The model's tokenizer, if it lies here in the form that can be read without transformers."""
        path = None if cell.model is None else self._tokenizer_file(cell.model)
        if path is None or not path.is_file():
            return None
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception:  # the library raises nothing more precise for a damaged file; loading the model will say it
            return None
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def _tokenizer_file(self, model: ModelSpec) -> Path | None:
        if model.source == "folder":
            return Path(model.location, "tokenizer.json")
        if model.source == "tiny":
            return next(iter(sorted((self._cache / "tiny").glob(f"{model.location}-*/tokenizer.json"))), None)
        if model.revision is None:
            return None
        from grid.hub import snapshot_folder  # huggingface_hub is heavy: only for its models

        return snapshot_folder(model.location, model.revision) / "tokenizer.json"


def _token_counts(texts: Sequence[str], tokenizer: Any | None) -> list[int]:
    if tokenizer is None:
        return [round(len(text) / _CHARACTERS_A_TOKEN) + _FRAME for text in texts]
    return [max(1, len(encoded.ids)) for encoded in tokenizer.encode_batch(list(texts))]
