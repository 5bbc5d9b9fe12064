"""The results folder on the command line of `python -m analysis...`: a folder, or a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import FineGridError
from jobs.storage import results_path


def _read(text: str) -> Path:
    try:
        return results_path(text)
    except FineGridError as error:
        raise typer.BadParameter(str(error)) from error


ResultsArgument = Annotated[Path, typer.Argument(help="Results folder or URL.", metavar="RESULTS", parser=_read)]
