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
    own = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    warnings.simplefilter("ignore", FutureWarning)  # what the libraries say to each other
    with os.fdopen(0, encoding="utf-8", errors="surrogatepass") as questions:
        text = questions.read()
    with os.fdopen(own, "w", encoding="utf-8", errors="surrogatepass") as answers:
        answer = _answer(text, request_type, work, answers)
        _say(answers, answer)
    return 1 if isinstance(answer, Refusal) else 0


def _answer(
    text: str, request_type: type[RequestT], work: Callable[[RequestT, Say], Any], answers: TextIO
) -> Any | Refusal:
    try:
        from jobs.models.loading import quiet_libraries

        quiet_libraries()
        return work(loads(request_type, text), lambda line: _say(answers, Progress(progress=line)))
    except Exception as error:
        kind, reason = classify(error)
        if kind is FailureKind.BUG:
            sys.stderr.write(redact(traceback.format_exc()))
        return Refusal(kind=kind, error=reason)


def _say(answers: TextIO, message: Any) -> None:
    answers.write(dumps(message) + "\n")
    answers.flush()
