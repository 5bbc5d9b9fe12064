"""The process that gauges: `python -m jobs.gauging`, one `Request` on standard input."""

from __future__ import annotations

import sys

from jobs.gauging.messages import Answer, Request
from jobs.work_process import Say, serve


def answer(request: Request, say: Say) -> Answer:
    """Gauge; torch is imported only now."""
    from jobs.gauging import work

    return work.answer(request, say)


if __name__ == "__main__":
    sys.exit(serve(Request, answer))
