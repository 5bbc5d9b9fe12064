"""The commands that run a grid or prepare it: run, plan, init, schema, prefetch, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grid.commands.shared import (
    BudgetOption,
    Config,
    DryOption,
    HoursOption,
    IndexOption,
    JsonOption,
    LocalOption,
    OnOption,
    ResultsOption,
    RetryOption,
    SetOption,
    SkipOption,
    YesOption,
    app,
    guarded,
    options_of,
    say,
    show,
)

if TYPE_CHECKING:
    from grid.options import RunOptions


@app.command("run")
def run_command(
    config: Config = None,
    results: ResultsOption = None,
    set_: SetOption = None,
    dry_run: DryOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
    retry_failed: RetryOption = None,
    skip_unavailable: SkipOption = False,
    local: LocalOption = False,
    max_hours: HoursOption = None,
    index: IndexOption = None,
    budget: BudgetOption = None,
) -> None:
    """Run a grid, or what is left of it: the same command again resumes."""
    guarded(
        lambda: _run(
            options_of(
                config=config,
                results=results,
                set_=set_,
                dry_run=dry_run,
                as_json=as_json,
                yes=yes,
                retry_failed=retry_failed,
                skip_unavailable=skip_unavailable,
                local=local,
                max_hours=max_hours,
                index=index,
                budget=budget,
            )
        ),
        as_json=as_json,
    )


@app.command()
def plan(
    config: Config = None,
    results: ResultsOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
    retry_failed: RetryOption = None,
    on: OnOption = None,
) -> None:
    """Show cells, packs, reasons and what it will take: `run --dry-run`."""
    guarded(
        lambda: _dry_run(
            options_of(
                config=config,
                results=results,
                set_=set_,
                dry_run=True,
                as_json=as_json,
                yes=yes,
                retry_failed=retry_failed,
                on=on,
            )
        ),
        as_json=as_json,
    )


@app.command("init")
def init_command(
    data: Annotated[str, typer.Argument(help="Your data: a file, or a folder with a file for each split.")],
    out: Annotated[Path | None, typer.Option("--out", help="Config to write; default: <name>.yaml here.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="For axes.model; may stand several times.")] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="Where the texts are.")] = None,
    label_column: Annotated[str | None, typer.Option("--label-column", help="Where the labels are.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at your own data, say what grid it can carry, write a commented config for it."""

    def work() -> None:
        from grid.init_config import init_config

        columns = {"text_column": text_column, "label_column": label_column}
        show(init_config(data, out=out, models=tuple(model or ()), **columns), as_json)

    guarded(work, as_json=as_json)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: standard output.")] = None,
) -> None:
    """Print the JSON schema of configs, for editors that complete and check YAML."""

    def work() -> None:
        from grid.editor_schema import config_schema
        from jobs.durable import disk_problem

        text = json.dumps(config_schema(), indent=1)
        if out is None:
            say(text)
            return
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise disk_problem(out, error) from error
        say(str(out))

    guarded(work)


@app.command()
def prefetch(
    config: Config = None,
    results: ResultsOption = None,
    set_: SetOption = None,
    skip_unavailable: SkipOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Fetch models and data of a grid, so that it can run with HF_HUB_OFFLINE=1; no devices needed, no store made."""

    def work() -> None:
        from grid.prefetch import prefetch as fetch
        from grid.terminal import for_people

        options = options_of(
            config=config,
            results=results,
            set_=set_,
            as_json=as_json,
            yes=yes,
            skip_unavailable=skip_unavailable,
        )
        show(fetch(options, for_people()), as_json)

    guarded(work, as_json=as_json)


@app.command()
def doctor(
    target: Annotated[str, typer.Argument(help="Results folder: check its store. A config: check what it would need.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index anew from the result folders.")] = False,
    results: ResultsOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
    local: LocalOption = False,
) -> None:
    """Check a store byte for byte and repair it, or do the checks before a run of a config alone."""

    def store() -> int:
        from grid.doctor import doctor as examine
        from jobs.errors import UserError

        of_configs = {"--results": results, "--set": set_, "--yes": yes, "--local": local}
        if given := [option for option, value in of_configs.items() if value]:
            raise UserError(f"{', '.join(given)}: for a config alone; {target} is looked at as a results folder")
        report = examine(results_path(target) if is_url(target) else expanded(target), rebuild_index=rebuild)
        show(report, as_json)
        return report.exit_code

    def preflight() -> int:
        from grid.config_doctor import examine

        report = examine(
            options_of(
                config=target,
                results=results,
                set_=set_,
                as_json=as_json,
                yes=yes,
                local=local,
            )
        )
        show(report, as_json)
        return report.exit_code

    from grid.paths import expanded
    from jobs.objects import is_url
    from jobs.storage import results_path

    is_store = rebuild or is_url(target) or expanded(target).is_dir()
    guarded(store if is_store else preflight, as_json=as_json)


def _run(options: RunOptions) -> int:
    from grid.signals import Interrupted, StopSignals
    from grid.signals import exit_code as signal_exit_code
    from grid.terminal import for_people

    people = for_people()
    if options.dry_run:
        return _dry_run(options)
    from grid.run import run

    try:
        with StopSignals() as signals:
            summary = run(options, people, signals)
    except Interrupted as error:
        code = signal_exit_code(error.number)
        if options.as_json:
            say(json.dumps({"exit_code": code, "signal": error.number}))
        people.print("Interrupted: the results folder is as it was, or complete; the same command goes on.")
        return code
    if options.as_json:
        say(json.dumps(summary.to_json(), allow_nan=False))
        summary.render(people)
    else:
        show(summary, as_json=False)
    return summary.exit_code


def _dry_run(options: RunOptions) -> int:
    from grid.outlook import check_offline, look_ahead
    from grid.plan_gauging import gauged
    from grid.show_plan import plan_json, render_plan
    from grid.terminal import for_people, for_results

    outlook = look_ahead(options)
    check_offline(outlook)
    outlook = gauged(outlook, for_people())
    later = outlook.forecast()
    if options.as_json:
        plan = {"exit_code": 0} | plan_json(outlook.plan, outlook.config.name, outlook.totals())
        say(json.dumps(plan | ({"later": later.to_json()} if later else {}), allow_nan=False))
    else:
        render_plan(outlook.plan, outlook.config.name, for_results(), outlook.totals())
        if later is not None:
            for_results().print(later.text, soft_wrap=True)
    return 0
