"""What the commands of all benchmarks share: parser, common options, notes on the way, the result, a working folder."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Table = Callable[[dict[str, Any]], str]
"""A result as text for people."""


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows a module's docstring as it is written, commands on lines of their own."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_source(
    parser: argparse.ArgumentParser,
    *,
    is_required: bool = True,
    model: str = "model folder, or tiny:FAMILY",
    data: str = "data folder or file, or builtin",
) -> None:
    """Add --model and --data.

    Args:
        parser: of the command.
        is_required: refuse a command without them.
        model: what may be given as model.
        data: what may be given as data.
    """
    parser.add_argument("--model", required=is_required, help=model)
    parser.add_argument("--data", required=is_required, help=data)


def add_output(
    parser: argparse.ArgumentParser,
    *,
    on_screen: str | None = "print one JSON object instead of a table",
    in_file: str = "write the JSON to a file as well",
) -> None:
    """Add --json and --out, whose values `give` takes.

    Args:
        parser: of the command.
        on_screen: what --json does.
        in_file: what --out does.
    """
    parser.add_argument("--json", action="store_true", help=on_screen)
    parser.add_argument("--out", type=Path, help=in_file)


def give(found: dict[str, Any], *, out: Path | None = None, table: Table | None = None) -> None:
    """Print a result.

    Args:
        found: plain JSON values.
        out: where to write it as JSON besides.
        table: makes the text that is printed; default: JSON.
    Side effects:
        standard output, and the file.
    """
    text = json.dumps(found, indent=1)
    if out is not None:
        out.write_text(text + "\n", "utf-8")
    print(text if table is None else table(found))


def say(text: str) -> None:
    """Tell whoever waits how far the command is; standard output is for the result alone."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def working_folder(parent: Path | None, *, is_kept: bool = False) -> Iterator[Path]:
    """A new folder.

    Args:
        parent: where to make it; default: where the system has temporary files.
        is_kept: leave it there at the end.
    Yields:
        the empty folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="finegrid-bench-", dir=parent))
    try:
        yield folder
    finally:
        if not is_kept:
            shutil.rmtree(folder)
