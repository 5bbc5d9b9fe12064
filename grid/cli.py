"""The `finegrid` command.

Everything heavy is imported inside the commands: `finegrid --help` and `status` answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from grid.commands import packing, reading, running, using
from grid.commands.shared import app

__all__ = ["app", "main", "main_run", "packing", "reading", "running", "using"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `finegrid`."""
    try:
        app(args=_with_retry_value(list(sys.argv[1:] if arguments is None else arguments)), prog_name="finegrid")
    except SystemExit as end:
        from grid.signals import leave_if_abandoned

        leave_if_abandoned(end.code if isinstance(end.code, int) else 1)
        raise


def main_run() -> None:
    """Entry point of `python -m grid.run`: the `run` command."""
    main(["run", *sys.argv[1:]])


def _with_retry_value(arguments: list[str]) -> list[str]:
    """--retry-failed may stand alone; the parser wants a value, so that it gets `all`."""
    from grid.options import ALL_KINDS, is_kinds

    result: list[str] = []
    for index, argument in enumerate(arguments):
        result.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument == "--retry-failed" and not is_kinds(following):
            result[-1] = f"--retry-failed={ALL_KINDS}"
    return result


if __name__ == "__main__":
    main()
