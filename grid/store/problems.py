"""What can be wrong with an index, in words for the person who has to act."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from jobs.errors import EnvironmentProblem, FineGridError, UserError


def not_a_store(root: Path) -> UserError:
    """A folder without an index was given where a results folder is expected."""
    what = "no such folder" if not root.exists() else "there is no grid.db in it"
    return UserError(f"{root} is not a results folder: {what}; give the folder that `--results` named")


def other_grid(root: Path, found: str, wanted: str) -> UserError:
    """A store belongs to the grid that made it."""
    return UserError(
        f"{root} holds results of the grid {found!r}, not of {wanted!r}; "
        f"give another folder with --results, or set name: {found} to extend that grid"
    )


def wrong_schema(path: Path, found: str | None, known: Sequence[str]) -> UserError:
    """The index was written by a newer or an older FineGrid."""
    if found in known:
        advice = "an older FineGrid wrote it; the next `finegrid run` into this folder brings it up to date"
    else:
        advice = "a newer FineGrid wrote it; update FineGrid"
    return UserError(f"{path} has schema {found or 'unknown'}, this FineGrid uses {known[-1]}: {advice}")


def damaged_index(path: Path, detail: str) -> EnvironmentProblem:
    """The index cannot be read; the result folders can."""
    return EnvironmentProblem(
        f"{path} is damaged ({detail}); nothing was written. "
        f"`finegrid doctor {path.parent} --rebuild` makes a new index from the result folders and keeps this file"
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the database into errors that say what to do.

    Args:
        path: the index.
    Raises:
        EnvironmentProblem: disk full, read-only, locked by another program, or damaged.
    """
    try:
        yield
    except sa.exc.DatabaseError as error:
        problem = _explain(path, error)
        if problem is None:
            raise
        raise problem from error


def _explain(path: Path, error: sa.exc.DatabaseError) -> FineGridError | None:
    detail = str(error.orig)
    lower = detail.lower()
    if "malformed" in lower or "not a database" in lower or "no such table" in lower or "no such column" in lower:
        return damaged_index(path, detail)
    if "locked" in lower:
        return EnvironmentProblem(f"{path} was locked by another program for 30 s; close it and run the same command")
    if isinstance(error, sa.exc.OperationalError):
        return EnvironmentProblem(
            f"cannot write {path}: {detail}; free space or repair the disk, then run the same command again"
        )
    return None
