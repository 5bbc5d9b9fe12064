"""Protocols: which rows of a corpus a cell trains on, selects on and is tested on."""

from __future__ import annotations

from jobs.data.protocols.base import Protocol, Selection
from jobs.data.protocols.nested import Nested
from jobs.data.protocols.official import Official
from jobs.data.protocols.replay import Replay

PROTOCOLS: dict[str, Protocol] = {"nested": Nested(), "replay": Replay(), "official": Official()}
"""By the name in the config."""

__all__ = ["PROTOCOLS", "Protocol", "Selection"]
