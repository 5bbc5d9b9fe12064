"""Asks a process of its own to work with torch: the packages of the driver never import it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO, Any, TypeVar

from jobs.errors import BugError, EnvironmentProblem, FineGridError, TransientProblem, UserError, one_line
from jobs.redaction import redact
from jobs.spec import FailureKind, dumps, from_json
from jobs.work_messages import Progress, Refusal

_ERRORS: dict[FailureKind, type[FineGridError]] = {
    FailureKind.USER: UserError,
    FailureKind.ENVIRONMENT: EnvironmentProblem,
    FailureKind.OUT_OF_MEMORY: EnvironmentProblem,
    FailureKind.TRANSIENT: TransientProblem,
}

AnswerT = TypeVar("AnswerT")


def ask(module: str, request: Any, answer_type: type[AnswerT], on_progress: Callable[[str], object]) -> AnswerT:
    """Have a process answer one request.

    Args:
        module: run as `python -m MODULE`; uses `jobs.work_process.serve`.
        request: a dataclass.
        answer_type: of the answer.
        on_progress: takes lines of progress.
    Returns:
        the answer.
    Raises:
        FineGridError: the process refused, or ended without an answer.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            errors="surrogatepass",
        )
        try:
            said = _listen(process, request, on_progress)
        finally:
            process.kill()  # after an interruption; else it has ended
            process.wait()
        if said is not None and "error" not in said:
            return from_json(answer_type, said)
        refusal = None if said is None else from_json(Refusal, said)
        if refusal is None or refusal.kind not in _ERRORS:
            raise BugError(f"python -m {module} ended with code {process.returncode}: {_last_words(errors)}")
    raise _ERRORS[refusal.kind](refusal.error)


def _listen(
    process: subprocess.Popen[str], request: Any, on_progress: Callable[[str], object]
) -> dict[str, Any] | None:
    if process.stdin is None or process.stdout is None:
        raise BugError("the process has no pipes")
    with process.stdin as stdin:
        stdin.write(dumps(request))
    last: dict[str, Any] | None = None
    with process.stdout as lines:
        for line in lines:
            last = json.loads(line)
            if last is not None and "progress" in last:
                on_progress(from_json(Progress, last).progress)
                last = None
    process.wait()
    return last


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", errors="replace").strip().splitlines()
    return one_line(redact(lines[-1])) if lines else "it said nothing"
