"""Data sets on the Hugging Face hub: commits are pinned, rows are read once and kept, errors say who must act."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.data.bad_rows import BadRows
from jobs.data.diskcache import read_cached, write_cached
from jobs.data.files import SPLIT_OF_NAME
from jobs.data.hub_errors import HubProblem, hub_problem
from jobs.data.raw import RawRow, assemble
from jobs.data.readers import FALLBACK_COLUMNS, ID_COLUMN
from jobs.data.rows import Corpus
from jobs.errors import DataError, EnvironmentProblem, one_line
from jobs.hub_pins import pin_name, read_pin
from jobs.spec import DataSpec
from jobs.storage import cache_root

_LOG = logging.getLogger(__name__)
_COMMIT = re.compile("[0-9a-f]{40}")
_TIMEOUT_S = 15.0
_CACHE_VERSION = 1
TRUSTED_ENDPOINT_VARIABLE = "FINEGRID_TRUSTED_ENDPOINT"


def is_commit(revision: str | None) -> bool:
    """True for a full commit hash; branches and tags can move."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def resolve_hub_revision(repo_id: str, requested: str | None = None, *, kind: str = "dataset") -> str:
    """Find the commit behind a branch or tag and check that the repository may be read.

    Args:
        repo_id: owner/name.
        requested: branch, tag or commit; None: main. A full commit is returned as it is, without network.
        kind: dataset | model.

    Returns:
        the commit. Without network: the one that was fetched last, else the one that the local hub cache
        remembers for this branch.

    Raises:
        EnvironmentProblem: gated, missing, no such revision, or neither reachable nor cached.
        TransientProblem: the hub is busy or failing.
    """
    if requested is not None and is_commit(requested):
        return requested
    found = _ask_hub(repo_id, requested, kind)
    if isinstance(found, str):
        return found
    cached = _cached_commit(repo_id, requested, kind) if found.is_network else None
    if cached is None:
        raise found.error
    _LOG.warning("%s: the hub cannot be reached; using the cached commit %s", repo_id, cached)
    return cached


def _ask_hub(repo_id: str, revision: str | None, kind: str) -> str | HubProblem:
    """The commit behind a revision that may be read, or why there is none; one try, no waiting."""
    from huggingface_hub import HfApi

    try:
        api = HfApi(token=hub_token())
        info = api.repo_info(repo_id, repo_type=kind, revision=revision, timeout=_TIMEOUT_S)
        if info.gated:
            # The description of a gated repository is public, its files are not.
            api.auth_check(repo_id, repo_type=kind)
    except Exception as error:  # every kind of failure is sorted by hub_problem
        return hub_problem(error, repo_id, kind=kind, revision=revision)
    if not info.sha:
        return HubProblem(error=EnvironmentProblem(f"{kind} {repo_id}: the hub names no commit"))
    return str(info.sha)


def hub_token() -> bool | None:
    """What to hand on as `token`: None (the user's own, if any), or False where it must not be sent.

    A token goes to the official hub, and elsewhere only to the endpoint that FINEGRID_TRUSTED_ENDPOINT names.
    """
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname or ""
    is_official = host in ("huggingface.co", "hf.co") or host.endswith((".huggingface.co", ".hf.co"))
    trusted = os.environ.get(TRUSTED_ENDPOINT_VARIABLE, "").rstrip("/")
    if is_official or trusted == constants.ENDPOINT:
        return None
    return False


def read_hub(spec: DataSpec, cache: Path | None) -> Corpus:
    """Read and check a data set of the hub.

    Args:
        spec: with id, subset and revision (None: the newest commit).
        cache: folder where the rows are kept, so that later reads need neither network nor `datasets`.

    Raises:
        DataError: no such subset or column, or bad rows.
        EnvironmentProblem: gated, missing, or neither reachable nor cached.
        TransientProblem: the hub is busy or failing.
    """
    revision = resolve_hub_revision(spec.id, spec.revision)
    path = cache / "hub" / f"{_cache_key(spec, revision)}.parquet" if cache else None
    body = read_cached(path) if path else None
    if body is None:
        body = _download(spec, revision)
        if path:
            write_cached(path, body)
    names, rows = _rows_of(body, f"{spec.id}@{revision[:12]}")
    return assemble(spec.id, rows, names, BadRows(spec.bad_rows, spec.max_bad_fraction))


def is_kept(spec: DataSpec, cache: Path) -> bool:
    """True when the rows need no network any more, or are not on the hub at all."""
    if spec.source != "hub":
        return True
    return is_commit(spec.revision) and (cache / "hub" / f"{_cache_key(spec, str(spec.revision))}.parquet").is_file()


def _cached_commit(repo_id: str, requested: str | None, kind: str) -> str | None:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    pinned = read_pin(cache_root(), pin_name(kind, repo_id, requested))
    if is_commit(pinned):
        return pinned
    references = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type=kind) / "refs"
    reference = references / (requested or "main")
    if not reference.resolve().is_relative_to(references.resolve()):
        return None
    try:
        commit = reference.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return commit if is_commit(commit) else None


def _cache_key(spec: DataSpec, revision: str) -> str:
    parts = [_CACHE_VERSION, spec.id, spec.subset, revision, spec.text_column, spec.label_column]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _download(spec: DataSpec, revision: str) -> bytes:
    """Rows of all known splits as one Parquet file: text, labels, id, split, line."""
    import datasets
    import pyarrow

    # Asked first because load_dataset hides why it failed, and waits half a minute for a hub that is not there.
    found = _ask_hub(spec.id, revision, "dataset")
    if isinstance(found, HubProblem) and not (found.is_network and _has_library_cache(revision)):
        raise found.error
    try:
        # The prefix keeps a local folder that happens to be called owner/name from being read instead.
        loaded = datasets.load_dataset(
            f"hf://datasets/{spec.id}",
            name=spec.subset,
            revision=revision,
            token=hub_token(),
            verification_mode="no_checks",
        )
    except Exception as error:  # every kind of failure is sorted by hub_problem
        if isinstance(error, ValueError) and "BuilderConfig" in str(error):
            raise DataError(f"dataset {spec.id}: no subset {spec.subset!r} ({error})") from error
        if isinstance(error, datasets.exceptions.DatasetGenerationError | pyarrow.ArrowException):
            reason = one_line(str(error.__cause__ or error), limit=300)
            raise DataError(f"dataset {spec.id}: its files cannot be read ({reason})") from error
        raise hub_problem(error, spec.id, kind="dataset", revision=revision).error from error
    _check_revision(spec.id, revision, loaded)
    names: list[str] | None = None
    tables = []
    for split_name, rows in loaded.items():
        if split_name in SPLIT_OF_NAME:
            names, table = _split_table(spec, SPLIT_OF_NAME[split_name], rows)
            tables.append(table)
    if not tables:
        raise DataError(f"dataset {spec.id}: no split called train, validation or test; it has {', '.join(loaded)}")
    return _to_parquet(tables, names)


def _has_library_cache(revision: str) -> bool:
    """True when `datasets` has prepared this commit before (of any data set: commits are unique)."""
    from datasets import config

    return any(Path(config.HF_DATASETS_CACHE).glob(f"*/*/*/{revision}"))


def _check_revision(repo_id: str, revision: str, loaded: Any) -> None:
    """Without network `datasets` silently takes the newest commit it has, whichever was asked for."""
    files = [file["filename"] for split in loaded.values() for file in split.cache_files]
    if not files or not all(revision in Path(file).parts for file in files):
        raise EnvironmentProblem(
            f"dataset {repo_id}: commit {revision} is not cached (another one is) and the hub cannot be reached"
        )


def _split_table(spec: DataSpec, split: int, rows: Any) -> tuple[list[str] | None, dict[str, list[object]]]:
    columns = list(rows.column_names)
    label_column = spec.label_column
    if label_column not in columns:
        label_column = FALLBACK_COLUMNS.get(label_column, label_column)
    for column, key in ((spec.text_column, "text_column"), (label_column, "label_column")):
        if column not in columns:
            known = ", ".join(columns)
            raise DataError(f"dataset {spec.id}: no column {column!r}; it has {known}; set dataset.{key}")
    feature = rows.features[label_column]
    feature = getattr(feature, "feature", feature)
    if str(getattr(feature, "dtype", "")).startswith("float"):
        raise DataError(f"dataset {spec.id}: column {label_column!r} holds numbers with fractions, not labels")
    names = list(feature.names) if hasattr(feature, "names") else None
    cells = rows.select_columns(
        [spec.text_column, label_column, *([ID_COLUMN] if ID_COLUMN in columns else [])]
    ).to_dict()
    labels = [value if isinstance(value, list) else [value] for value in cells[label_column]]
    return names, {
        "text": cells[spec.text_column],
        "labels": [[None if label is None else str(label) for label in row] for row in labels],
        "id": [None if value is None else str(value) for value in cells.get(ID_COLUMN, [None] * len(labels))],
        "split": [split] * len(labels),
        "line": list(range(1, len(labels) + 1)),
    }


def _to_parquet(tables: list[dict[str, list[object]]], names: list[str] | None) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        {
            "text": pa.string(),
            "labels": pa.list_(pa.string()),
            "id": pa.string(),
            "split": pa.int8(),
            "line": pa.int64(),
        },
        metadata={"label_names": json.dumps(names)},
    )
    try:
        table = pa.concat_tables([pa.table(cells, schema=schema) for cells in tables])
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"the text or label column does not hold texts and labels ({error})") from error
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    body: bytes = buffer.getvalue().to_pybytes()
    return body


def _rows_of(body: bytes, name: str) -> tuple[list[str] | None, Iterator[RawRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Arrow's threads must hold no Python file when the process ends, or it aborts (apache/arrow issue 45214):
    # so a buffer of Arrow's own, and no threads.
    table = pq.ParquetFile(pa.BufferReader(body)).read(use_threads=False)
    names = json.loads(table.schema.metadata[b"label_names"])
    columns = [table.column(column).to_pylist() for column in ("text", "labels", "id", "split", "line")]
    # With names known, the hub's labels are ids: a name such as "5 stars" or "1" is never meant.
    rows = (
        RawRow(text, _as_ids(labels) if names else labels, row_id, name, line, split)
        for text, labels, row_id, split, line in zip(*columns, strict=True)
    )
    return names, rows


def _as_ids(labels: list[str | None]) -> list[object]:
    return [int(label) if label is not None and re.fullmatch("-?[0-9]+", label) else label for label in labels]
