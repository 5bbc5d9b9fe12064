"""What a run is asked to do: the command line, already read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grid.paths import expanded
from jobs.errors import ConfigError, Problem
from jobs.spec import RESUMED_KINDS, FailureKind

ALL_KINDS = "all"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of `finegrid run`."""

    config: str | None = None
    """A path or a shipped config's name; None: the default grid."""
    results: str | None = None
    """Results folder; None: results/<grid name>."""
    overrides: tuple[str, ...] = ()
    """path=value of each --set."""
    dry_run: bool = False
    as_json: bool = False
    assume_yes: bool = False
    retry_failed: frozenset[FailureKind] = frozenset()
    skip_unavailable: bool = False
    local: bool = False
    """In this process, without Ray."""
    max_hours: float | None = None
    """The run ends in order after so long, to be continued; None: it takes as long as it needs."""

    def results_folder(self, grid: str) -> Path:
        """The absolute results folder.

        Raises:
            ConfigError: it is a URL.
        """
        if self.results is not None and "://" in self.results:
            rule = "results on an object store are not supported yet: give a folder and copy it afterwards"
            raise ConfigError([Problem("--results", rule, self.results.split("?")[0])])
        return expanded(self.results or f"results/{grid}").absolute()


def parse_kinds(text: str | None) -> frozenset[FailureKind]:
    """Read the value of --retry-failed.

    Args:
        text: None (not given), `all`, or kinds separated by commas.
    Returns:
        the kinds to be tried again although they wait otherwise.
    Raises:
        ConfigError: a word is no failure kind.
    """
    if text is None:
        return frozenset()
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == [ALL_KINDS]:
        return frozenset(FailureKind)
    legal = [str(kind) for kind in FailureKind]
    wrong = [word for word in words if word not in legal]
    if wrong or not words:
        rule = f"failure kinds are {', '.join(legal)} and {ALL_KINDS}"
        raise ConfigError([Problem("--retry-failed", rule, word) for word in wrong or [text]])
    return frozenset(FailureKind(word) for word in words)


def is_kinds(text: str) -> bool:
    """True when the text could be the value of --retry-failed."""
    legal = {ALL_KINDS, *map(str, FailureKind)}
    return bool(text) and all(word.strip() in legal for word in text.split(","))


WAITING_KINDS = frozenset(FailureKind) - RESUMED_KINDS
"""Kinds that the same command leaves alone."""
