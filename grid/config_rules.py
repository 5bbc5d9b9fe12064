"""Combinations that cannot work, named before anything starts.

Each function looks at one complete section of one cell; single keys are checked by `grid.config_schema`.
"""

from __future__ import annotations

import re
from pathlib import Path

from grid.suggest import nearest
from jobs.errors import Problem
from jobs.spec import SELECTION_METRICS, DataSpec, EvaluationSpec, RecipeSpec

REPLAY_LABELS = (2, 4, 8, 16)
REPLAY_SAMPLES = (800, 1600, 2400)
REVISION_RULE = "a branch, tag or commit: letters, digits and . _ / -, without .."
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_DEFAULT = DataSpec(source="builtin")
_RECIPE = RecipeSpec()


def data_problems(data: DataSpec) -> list[Problem]:
    """Name every key of a dataset section that contradicts another one."""
    problems = {"hub": _hub, "files": _files, "builtin": _builtin}[data.source](data)
    if data.source != "builtin" and data.rows != _DEFAULT.rows:
        problems.append(_only("rows", data.rows, "source: builtin"))
    if data.source != "hub" and data.subset is not None:
        problems.append(_only("subset", data.subset, "source: hub"))
    if data.source != "files" and data.format != "auto":
        problems.append(_only("format", data.format, "source: files"))
    if data.source != "files" and data.label_columns:
        problems.append(_only("label_columns", ", ".join(data.label_columns[:10]), "source: files"))
    if len(data.label_columns) == 1 or len(set(data.label_columns)) < len(data.label_columns):
        problems.append(Problem("dataset.label_columns", "two or more different columns, one a label"))
    if data.validation == "test" and data.protocol != "official":
        problems.append(_only("validation", data.validation, "protocol: official"))
    return problems + _protocol(data) + _sizes(data) + _shape(data) + _augment(data)


def recipe_problems(recipe: RecipeSpec, task: str) -> list[Problem]:
    """Name every key of a recipe section that contradicts another one, or the task."""
    problems = []
    legal = SELECTION_METRICS[task]
    if recipe.select_on != "last" and recipe.select_on not in legal:
        hint = nearest(recipe.select_on, legal) or f"one of {', '.join(legal)}"
        problems.append(Problem("recipe.select_on", f"is no metric of task {task}", recipe.select_on, hint))
    if recipe.select_on == "last" and recipe.patience is not None:
        rule = "early stopping needs a metric, but select_on is last"
        problems.append(Problem("recipe.patience", rule, str(recipe.patience), "patience: null"))
    if recipe.warmup_ratio is not None and recipe.warmup_steps > 0:
        rule = "is given together with warmup_steps, which it would silently replace"
        problems.append(Problem("recipe.warmup_ratio", rule, str(recipe.warmup_ratio), "set warmup_steps: 0"))
    if recipe.effective_beta != _RECIPE.effective_beta and recipe.class_weights != "effective_number":
        rule = "has a meaning with class_weights: effective_number only"
        problems.append(Problem("recipe.effective_beta", rule, str(recipe.effective_beta), "remove it"))
    return problems


def is_revision(text: str) -> bool:
    """True for what can be a branch, tag or commit of the hub, and cannot lead out of a folder."""
    return _REVISION.fullmatch(text) is not None and ".." not in text and "//" not in text


def evaluation_problems(evaluation: EvaluationSpec) -> list[Problem]:
    """Name every key of an evaluation section that contradicts another one."""
    if evaluation.threshold_start > evaluation.threshold_stop:
        rule = f"is above threshold_stop = {evaluation.threshold_stop}"
        return [Problem("evaluation.threshold_start", rule, str(evaluation.threshold_start))]
    return []


def _only(key: str, value: object, condition: str) -> Problem:
    return Problem(f"dataset.{key}", f"has a meaning with {condition} only", str(value), "remove it")


def _hub(data: DataSpec) -> list[Problem]:
    problems = [_only("path", data.path, "source: files")] if data.path else []
    if data.revision is not None and not is_revision(data.revision):
        problems.append(Problem("dataset.revision", REVISION_RULE, data.revision))
    if not data.id:
        problems.append(
            Problem("dataset.id", "is required with source: hub", None, "such as google-research-datasets/go_emotions")
        )
    return problems


def _files(data: DataSpec) -> list[Problem]:
    problems = [_only("id", data.id, "source: hub")] if data.id else []
    if data.revision is not None:
        problems.append(_only("revision", data.revision, "source: hub (files are known by their content)"))
    if not data.path:
        hint = "such as --set dataset.path=DATA"
        problems.append(Problem("dataset.path", "is required with source: files", None, hint))
    elif not Path(data.path).exists():
        hint = "a path that does not begin with / counts from the folder where the command is given"
        problems.append(Problem("dataset.path", "no such file or folder", data.path, hint))
    return problems


def _builtin(data: DataSpec) -> list[Problem]:
    problems = [_only("id", data.id, "source: hub")] if data.id else []
    if data.path:
        problems.append(_only("path", data.path, "source: files"))
    if data.revision is not None:
        problems.append(_only("revision", data.revision, "source: hub"))
    return problems


def _protocol(data: DataSpec) -> list[Problem]:
    problems = []
    if data.task == "multi_label" and data.protocol != "official":
        rule = f"rows with several labels cannot be balanced, which protocol {data.protocol} does"
        problems.append(Problem("dataset.task", rule, data.task, "protocol: official"))
    if data.protocol == "replay":
        problems += _replay(data)
    return problems


def _replay(data: DataSpec) -> list[Problem]:
    problems = []
    if data.source == "builtin":
        problems.append(
            Problem("dataset.protocol", "the published rows are not in the built-in corpus", "replay", "nested")
        )
    if data.num_labels not in REPLAY_LABELS:
        rule = f"the published experiment has {_listed(REPLAY_LABELS)} labels only"
        problems.append(Problem("dataset.num_labels", rule, str(data.num_labels or "all")))
    if data.num_samples not in REPLAY_SAMPLES:
        rule = f"the published experiment has {_listed(REPLAY_SAMPLES)} rows only"
        problems.append(Problem("dataset.num_samples", rule, str(data.num_samples or "all")))
    for key in ("clean", "keep_matching", "drop_matching", "label_groups", "augment"):
        if getattr(data, key):
            problems.append(Problem(f"dataset.{key}", "protocol replay uses the published rows as they are"))
    if data.labels is not None:
        problems.append(Problem("dataset.labels", "protocol replay has its own label sets", None, "remove it"))
    if data.num_samples_per != "total":
        problems.append(Problem("dataset.num_samples_per", "protocol replay counts rows in total", "label", "total"))
    return problems


def _sizes(data: DataSpec) -> list[Problem]:
    problems = []
    if data.labels is not None:
        if len(set(data.labels)) < len(data.labels):
            problems.append(Problem("dataset.labels", "a label stands twice"))
        if data.num_labels is not None and data.num_labels > len(data.labels):
            rule = f"is more than the {len(data.labels)} names in dataset.labels"
            problems.append(Problem("dataset.num_labels", rule, str(data.num_labels)))
    is_too_small = data.num_samples is not None and data.num_labels is not None and data.num_samples < data.num_labels
    if is_too_small and data.num_samples_per == "total":
        rule = f"is less than one row for each of the {data.num_labels} labels"
        problems.append(Problem("dataset.num_samples", rule, str(data.num_samples)))
    return problems


def _shape(data: DataSpec) -> list[Problem]:
    problems = []
    for key in ("keep_matching", "drop_matching"):
        try:
            re.compile(getattr(data, key) or "")
        except re.error as error:
            hint = "quote what is meant literally with a backslash, or give a list of words"
            problems.append(Problem(f"dataset.{key}", f"no regular expression: {error}", getattr(data, key), hint))
    if data.label_groups is not None:
        labels = [label for group in data.label_groups for label in group.labels]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            problems.append(Problem("dataset.label_groups", "a label stands twice", ", ".join(twice[:10])))
        names = [group.name for group in data.label_groups]
        if data.num_labels is not None and data.num_labels > len(names):
            rule = f"is more than the {len(names)} groups of dataset.label_groups"
            problems.append(Problem("dataset.num_labels", rule, str(data.num_labels)))
        if unknown := [label for label in data.labels or () if label not in names]:
            rule = "names no group of dataset.label_groups"
            problems.append(Problem("dataset.labels", rule, ", ".join(unknown[:10]), ", ".join(names[:10])))
    return problems


def _augment(data: DataSpec) -> list[Problem]:
    if data.augment and data.augment_to is None:
        hint = "rows for training that each label should have, such as 100"
        return [Problem("dataset.augment_to", "is required with augment", None, hint)]
    if data.augment:
        return []
    keys = ("augment_to", "augment_copies", "augment_share")
    given = [key for key in keys if getattr(data, key) != getattr(_DEFAULT, key)]
    return [_only(key, getattr(data, key), "augment: [drop_words, ...]") for key in given]


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in numbers[:-1]) + f" and {numbers[-1]}"
