"""Every error of FineGrid, split by who must act.

FineGridError
|- UserError              the person who wrote the config or the data      (exit 2)
|  |- ConfigError         all faults of a configuration at once
|  `- DataError           rows, columns, labels, files
|- EnvironmentProblem     the person who owns the machine or the account   (exit 3 in preflight)
|  `- DiskFull            space, a quota or a file size limit ran out       (exit 5, resumable)
|- TransientProblem       nobody: it is tried again
|- OutOfMemory            smaller steps, then a larger device
|- Diverged               the recipe: loss or gradient is not finite
|- StoreBusy              wait: another run owns the store                 (exit 4)
`- BugError               us
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.redaction import redact
from jobs.spec import FailureKind


class FineGridError(Exception):
    """Root of all errors raised on purpose."""

    kind: FailureKind = FailureKind.BUG


class UserError(FineGridError):
    """Something in the configuration, the arguments or the data is wrong."""

    kind = FailureKind.USER


@dataclass(frozen=True)
class Problem:
    """One fault: where it stands, what stands there, the rule, and what to write instead."""

    path: str
    """Dotted path in the config, such as `recipe.learning_rate`, or file:line."""
    rule: str
    """What is expected, in words."""
    value: str | None = None
    """The offending value, shortened; None when it may not be shown."""
    suggestion: str | None = None
    """Nearest legal name or the action to take."""

    def __str__(self) -> str:
        """One line for people."""
        value = f" = {self.value}" if self.value is not None else ""
        suggestion = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.path}{value}: {self.rule}{suggestion}"


class ConfigError(UserError):
    """A configuration with faults, all of them listed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the list; the message has one line a fault."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(UserError):
    """Rows, columns, labels or files cannot be used; the message names file and line."""


class EnvironmentProblem(FineGridError):
    """The machine, the disk, the network or an account is not ready."""

    kind = FailureKind.ENVIRONMENT


class DiskFull(EnvironmentProblem):
    """No space left, a quota is used up, or a file may not grow any more."""


class TransientProblem(FineGridError):
    """Expected to pass on the next try."""

    kind = FailureKind.TRANSIENT


class OutOfMemory(FineGridError):
    """Memory of the device or the host ran out."""

    kind = FailureKind.OUT_OF_MEMORY


class Diverged(FineGridError):
    """Loss or gradient became infinite or NaN, or training ran away to logits that rounding decides."""

    kind = FailureKind.DIVERGED


class StoreBusy(FineGridError):
    """Another run owns the store; the message names its host, pid and start time."""

    kind = FailureKind.ENVIRONMENT


class BugError(FineGridError):
    """Something that cannot happen did."""


_OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cuda_error_out_of_memory",
    "status_alloc_failed",  # what cuBLAS and cuDNN say
)
_ONEDNN_WORDS = re.compile(r"could not create a primitive(?! descriptor)")
"""What oneDNN says when it has no memory for its code; of a descriptor it speaks when it cannot do it at all."""


_DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK_FULL_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "file too large",
    "disk is full",  # what SQLite says
)


def is_disk_full(problem: BaseException | str) -> bool:
    """Whether an error, or a reason of one line made from it, says that the disk gives no more space.

    Libraries wrap the system's error (safetensors, pyarrow, SQLite), hence the words.
    """
    if isinstance(problem, DiskFull) or (isinstance(problem, OSError) and problem.errno in _DISK_FULL_ERRNOS):
        return True
    text = str(problem).lower()
    return any(words in text for words in _DISK_FULL_WORDS)


def classify(error: BaseException) -> tuple[FailureKind, str]:
    """Name the kind of any exception, with a one-line reason.

    Args:
        error: what was caught.
    Returns:
        the failure kind and a reason of one line, secrets hidden, control characters replaced, at most 500 characters.
    """
    reason = one_line(redact(f"{type(error).__name__}: {error}"))
    if isinstance(error, FineGridError):
        return error.kind, one_line(redact(str(error)))
    text = str(error).lower()
    is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if is_memory or any(words in text for words in _OUT_OF_MEMORY_WORDS) or _ONEDNN_WORDS.search(text):
        return FailureKind.OUT_OF_MEMORY, reason
    if isinstance(error, OSError) or is_disk_full(error):
        return FailureKind.ENVIRONMENT, reason
    return FailureKind.BUG, reason


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the device or the host ran out, whichever of its many faces that has."""
    return classify(error)[0] is FailureKind.OUT_OF_MEMORY


def one_line(text: str, *, limit: int = 500) -> str:
    """Make text safe for one log line or table cell: no control characters, bounded length."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    joined = " ".join(printable.split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"
