"""The process that explains: `python -m jobs.explaining`, one `Request` on standard input.

Its `Answer` goes to standard output, progress goes to standard error. The driver's packages never import torch; this process does it for them.
"""

from __future__ import annotations

import os
import sys
import traceback

from jobs.errors import classify
from jobs.explaining.messages import Answer, Request
from jobs.redaction import redact
from jobs.spec import FailureKind, dumps, loads


def main() -> int:
    """Answer one request."""
    own = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    with os.fdopen(0, encoding="utf-8", errors="surrogatepass") as questions:
        text = questions.read()
    answer = _answer(text)
    with os.fdopen(own, "w", encoding="utf-8", errors="surrogatepass") as answers:
        answers.write(dumps(answer) + "\n")
    return 0 if answer.error is None else 1


def _answer(text: str) -> Answer:
    try:
        # Inside, so that a missing library is an answer as well.
        from jobs.explaining import work
        from jobs.models.loading import quiet_libraries

        quiet_libraries()
        return work.answer(loads(Request, text), say=lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
    except Exception as error:
        kind, reason = classify(error)
        if kind is FailureKind.BUG:
            print(redact(traceback.format_exc()), file=sys.stderr)  # noqa: T201
        return Answer(kind=kind, error=reason)


if __name__ == "__main__":
    sys.exit(main())
