"""The process that predicts: `python -m jobs.predicting`, one `Request` on standard input."""

from __future__ import annotations

import sys

from jobs.predicting.messages import Answer, Request
from jobs.work_process import Say, serve


def answer(request: Request, say: Say) -> Answer:
    """Predict; torch is imported only now."""
    from jobs.predicting import work

    return work.answer(request, say)


if __name__ == "__main__":
    sys.exit(serve(Request, answer))
