"""The process that explains: `python -m jobs.explaining`, one `Request` on standard input.

On standard output one JSON object a line: `Progress`, in the end an `Answer`. The driver's packages never import
torch; this process does it for them.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from typing import TextIO

from jobs.errors import classify
from jobs.explaining.messages import Answer, Progress, Request
from jobs.redaction import redact
from jobs.spec import FailureKind, dumps, loads


def main() -> int:
    """Answer one request."""
    own = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    warnings.simplefilter("ignore", FutureWarning)  # what the libraries say to each other
    with os.fdopen(0, encoding="utf-8", errors="surrogatepass") as questions:
        text = questions.read()
    with os.fdopen(own, "w", encoding="utf-8", errors="surrogatepass") as answers:
        answer = _answer(text, answers)
        _say(answers, answer)
    return 0 if answer.error is None else 1


def _answer(text: str, answers: TextIO) -> Answer:
    try:
        # Inside, so that a missing library is an answer as well.
        from jobs.explaining import work
        from jobs.models.loading import quiet_libraries

        quiet_libraries()
        return work.answer(loads(Request, text), say=lambda line: _say(answers, Progress(progress=line)))
    except Exception as error:
        kind, reason = classify(error)
        if kind is FailureKind.BUG:
            sys.stderr.write(redact(traceback.format_exc()))
        return Answer(kind=kind, error=reason)


def _say(answers: TextIO, message: Progress | Answer) -> None:
    answers.write(dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
