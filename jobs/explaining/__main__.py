"""The process that explains: `python -m jobs.explaining`, one `Request` on standard input."""

from __future__ import annotations

import sys

from jobs.explaining.messages import Answer, Request
from jobs.work_process import Say, serve


def answer(request: Request, say: Say) -> Answer:
    """Explain; torch is imported only now."""
    from jobs.explaining import work

    return work.answer(request, say)


if __name__ == "__main__":
    sys.exit(serve(Request, answer))
