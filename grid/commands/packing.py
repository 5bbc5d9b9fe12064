"""The command for machines without Ray: packs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid.commands.shared import (
    Config,
    JsonOption,
    ResultsOption,
    RetryOption,
    SetOption,
    SkipOption,
    YesOption,
    app,
    guarded,
    options_of,
    show,
)


@app.command()
def packs(
    out: Annotated[Path, typer.Option("--out", help="Folder for the files, one for each pack.")],
    config: Config = None,
    results: ResultsOption = None,
    set_: SetOption = None,
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=100_000, help="Tasks that run at the same time.")] = 8,
    cpus: Annotated[int, typer.Option("--cpus-per-task", min=1, max=4096, help="Cores of each.")] = 4,
    gpus: Annotated[int, typer.Option("--gpus-per-task", min=0, max=16, help="GPUs of each.")] = 0,
    retry_failed: RetryOption = None,
    skip_unavailable: SkipOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Write what is left of a grid as packs for an array of tasks without Ray (clusters/slurm-array.sbatch)."""

    def work() -> None:
        from grid.pack_files import Task, write_packs
        from grid.paths import expanded
        from grid.terminal import for_people

        options = options_of(
            config=config,
            results=results,
            set_=set_,
            retry_failed=retry_failed,
            skip_unavailable=skip_unavailable,
            as_json=as_json,
            yes=yes,
        )
        task = Task(number=tasks, cpus=cpus, gpus=gpus)
        show(write_packs(options, expanded(str(out)).absolute(), task, for_people()), as_json)

    guarded(work, as_json=as_json)
