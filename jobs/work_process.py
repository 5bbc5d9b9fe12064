"""A process that works with torch for a command: one request on standard input, messages on standard output.

One JSON object a line: `Progress`, in the end the answer or a `Refusal`. The driver's packages never import torch;
such a process does it for them.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

from jobs.errors import classify
from jobs.redaction import redact
from jobs.spec import FailureKind, dumps, loads
from jobs.work_messages import Progress, Refusal

RequestT = TypeVar("RequestT")
Say = Callable[[str], None]


def serve(request_type: type[RequestT], work: Callable[[RequestT, Say], Any]) -> int:
    """Answer one request.

    Args:
        request_type: what is read.
        work: from the request and a way to tell progress to the answer; its imports of torch belong inside it, so
            that a missing library is an answer as well.
    Returns:
        exit status.
    """
    stream = claim_standard_output()
    warnings.simplefilter("ignore", FutureWarning)  # what the libraries say to each other
    with os.fdopen(0, encoding="utf-8", errors="surrogatepass") as questions:
        text = questions.read()
    with stream as answers:
        answer = _answer(text, request_type, work, answers)
        say(answers, answer)
    return 1 if isinstance(answer, Refusal) else 0


def _answer(
    text: str, request_type: type[RequestT], work: Callable[[RequestT, Say], Any], answers: TextIO
) -> Any | Refusal:
    try:
        from jobs.models.loading import quiet_libraries

        quiet_libraries()
        return work(loads(request_type, text), lambda line: say(answers, Progress(progress=line)))
    except Exception as error:
        kind, reason = classify(error)
        if kind is FailureKind.BUG:
            sys.stderr.write(redact(traceback.format_exc()))
        return Refusal(kind=kind, error=reason)


def claim_standard_output() -> TextIO:
    """Keep standard output for answers: whatever a library prints goes to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8", errors="surrogatepass")


def say(answers: TextIO, message: Any) -> None:
    """Write one message as a line of JSON."""
    answers.write(dumps(message) + "\n")
    answers.flush()
