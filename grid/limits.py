"""Limits of this process that would end a run in the middle: open files and processes."""

from __future__ import annotations

import os
import resource

from jobs.errors import Problem

NUM_FILES_LOCAL = 256
NUM_FILES_RAY = 1024
"""Ray's own processes keep some hundred sockets and files open; they inherit the limit."""
NUM_PROCESSES_LOCAL = 64
NUM_PROCESSES_RAY = 512
"""Threads count as processes."""


def check_limits(*, uses_ray: bool) -> list[Problem]:
    """Raise the soft limits as far as allowed, and say which are still too low.

    Args:
        uses_ray: Ray's processes run on this machine.

    Side effects:
        raises soft limits of this process and so of its children.
    """
    problems = []
    files = _raised(resource.RLIMIT_NOFILE, NUM_FILES_RAY if uses_ray else NUM_FILES_LOCAL)
    if files is not None:
        needed = NUM_FILES_RAY if uses_ray else NUM_FILES_LOCAL
        rule = f"this process may open {files} files at a time; {needed} are needed"
        problems.append(Problem("open files", rule, suggestion=f"ulimit -n {needed}, or ask who set the limit"))
    processes = NUM_PROCESSES_RAY if uses_ray else NUM_PROCESSES_LOCAL
    allowed = _raised(resource.RLIMIT_NPROC, processes) if os.geteuid() else None  # root is not limited
    if allowed is not None:
        rule = f"this user may have {allowed} processes and threads at a time; {processes} are needed"
        problems.append(Problem("processes", rule, suggestion=f"ulimit -u {processes}, or ask who set the limit"))
    return problems


def _raised(kind: int, needed: int) -> int | None:
    """Raise a soft limit to what is needed if it is lower; None when that is granted, else what there is."""
    soft, hard = resource.getrlimit(kind)
    if _allows(soft, needed):
        return None
    if _allows(hard, needed):
        resource.setrlimit(kind, (needed, hard))
        return None
    return hard


def _allows(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
