"""What a run is asked to do: the command line, already read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grid.paths import expanded
from jobs.errors import ConfigError, Problem, UserError
from jobs.objects import is_url
from jobs.spec import FailureKind
from jobs.storage import results_path

ALL_KINDS = "all"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of `finegrid run`."""

    config: str | None = None
    """A path or a shipped config's name; None: the default grid."""
    results: str | None = None
    """Results folder or URL; None: results/<grid name>."""
    overrides: tuple[str, ...] = ()
    """path=value of each --set."""
    dry_run: bool = False
    as_json: bool = False
    assume_yes: bool = False
    retry_failed: frozenset[FailureKind] = frozenset()
    skip_unavailable: bool = False
    local: bool = False
    """In this process, without Ray."""
    index: str | None = None
    """Name of the variable with the URL of a PostgreSQL database, for a new store whose index is to be there."""
    max_hours: float | None = None
    """The run ends in order after so long, to be continued; None: it takes as long as it needs."""
    budget: str | None = None
    """As `max_hours`, in hours or in dollars: `4h`, `$20`."""
    on: str | None = None
    """Devices to plan for that are not here (dry runs): `8xA10G`."""

    def results_folder(self, grid: str) -> Path:
        """The absolute results folder; of a URL, the one that stands for it on this machine.

        Raises:
            ConfigError: a URL that results cannot lie at.
            EnvironmentProblem: the disk refused.
        """
        if self.results is not None and is_url(self.results):
            try:
                return results_path(self.results).absolute()
            except UserError as error:
                raise ConfigError([Problem("--results", str(error))]) from error
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
    """True when the text could be the value of --retry-failed, if with a mistake in a list of kinds."""
    legal = {ALL_KINDS, *map(str, FailureKind)}
    words = [word.strip() for word in text.split(",")]
    return words[0] in legal or (len(words) > 1 and any(word in legal for word in words))
