"""From an exception to an exit code and a message for whoever must act."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from typing import Any

from grid.escape import visible
from grid.outlook import PreflightRefused
from grid.summary import BUSY, REFUSED, SOME_FAILED, WRONG_CONFIG
from jobs.errors import ConfigError, EnvironmentProblem, Problem, StoreBusy, TransientProblem, UserError
from jobs.redaction import redact


def explain(error: Exception) -> tuple[int, str, dict[str, Any]]:
    """Turn an exception of a command into what is said about it.

    Args:
        error: anything but a signal.
    Returns:
        exit code, message for people, and the object for --json.
    Side effects:
        the traceback of an unexpected exception is written to a file, which the message names.
    """
    code, headline = _classify(error)
    problems = _problems(error)
    if code is None:
        path = _keep_traceback(error)
        code = SOME_FAILED
        lines = [f"FineGrid has a bug: {type(error).__name__}: {error}", f"Please report it with {path}"]
    elif problems:
        lines = [headline, *(f"  {problem}" for problem in problems)]
    else:
        lines = [f"{headline} {error}"]
    data = {
        "exit_code": code,
        "error": redact(str(error)),
        "problems": [
            {name: redact(text) if text else text for name, text in vars(problem).items()} for problem in problems
        ],
    }
    return code, redact("\n".join(visible(line, keep_lines=True) for line in lines)), data


def _classify(error: Exception) -> tuple[int | None, str]:
    if isinstance(error, ConfigError):
        return WRONG_CONFIG, "The configuration cannot be used; nothing was created:"
    if isinstance(error, UserError):
        return WRONG_CONFIG, "Cannot do that:"
    if isinstance(error, StoreBusy):
        return BUSY, "Busy:"
    if isinstance(error, PreflightRefused):
        return REFUSED, "Not started, nothing was created:"
    if isinstance(error, EnvironmentProblem | TransientProblem | OSError):
        return REFUSED, "Stopped:"
    return None, ""


def _problems(error: Exception) -> tuple[Problem, ...]:
    return error.problems if isinstance(error, ConfigError | PreflightRefused) else ()


def _keep_traceback(error: Exception) -> Path:
    with tempfile.NamedTemporaryFile(
        "w", prefix="finegrid-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as report:
        report.write(redact("".join(traceback.format_exception(error))))
    return Path(report.name)
