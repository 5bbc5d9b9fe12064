"""The store: immutable result folders (`jobs.storage`) and the SQL index over them."""

from grid.store.reading import peek
from grid.store.rows import CellRow
from grid.store.store import Store

__all__ = ["CellRow", "Store", "peek"]
