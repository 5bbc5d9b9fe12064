"""What all protocols share: the contract, label order, and the words for faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Protocol as TypingProtocol

import numpy as np

from jobs.data.rows import Corpus, DataFacts, Int64, no_counts
from jobs.errors import Problem
from jobs.spec import DataSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class Selection:
    """Row numbers of a corpus for one cell."""

    labels: tuple[int, ...]
    """Label ids; position is the class index."""
    train: Int64
    validation: Int64
    test: Int64
    counts: Mapping[str, int] = field(default_factory=no_counts)
    marks: tuple[str, ...] = ()


class Protocol(TypingProtocol):
    """One way of choosing rows. Every method expects a corpus read for this spec."""

    def facts(self, corpus: Corpus, spec: DataSpec) -> DataFacts:
        """What the corpus can supply; num_labels and num_samples of the spec are ignored."""

    def problems(self, corpus: Corpus, spec: DataSpec) -> list[Problem]:
        """Everything that keeps `select` from working."""

    def select(self, corpus: Corpus, spec: DataSpec, seed: int) -> Selection:
        """Choose rows; only for a spec without problems."""


def label_order(corpus: Corpus, spec: DataSpec) -> tuple[int, ...]:
    """Label ids in the order in which label sets nest.

    `dataset.labels` as declared; else by the number of rows with exactly one label (multi-label tasks: rows
    that carry the label), most first, ties by id. Counted before duplicates are removed, as published counts are.
    """
    if spec.labels is not None:
        position = {name: index for index, name in enumerate(corpus.label_names)}
        return tuple(position[name] for name in spec.labels if name in position)
    counts = corpus.any_label_counts if spec.task == "multi_label" else corpus.single_label_counts
    return tuple(int(label) for label in np.argsort(-counts, kind="stable"))


def chosen_labels(corpus: Corpus, spec: DataSpec) -> tuple[int, ...]:
    """The labels of one cell: the first num_labels of the order."""
    order = label_order(corpus, spec)
    return order if spec.num_labels is None else order[: spec.num_labels]


def total_samples(spec: DataSpec, num_labels: int) -> int | None:
    """Declared number of training rows over all labels; None: all."""
    if spec.num_samples is None or spec.num_samples_per == "total":
        return spec.num_samples
    return spec.num_samples * num_labels


def label_problems(corpus: Corpus, spec: DataSpec) -> list[Problem]:
    """Faults of dataset.labels and num_labels that do not depend on the protocol."""
    problems = []
    for name in spec.labels or ():
        if name not in corpus.label_names:
            near = get_close_matches(name, corpus.label_names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "labels are " + ", ".join(corpus.label_names[:40])
            problems.append(Problem("dataset.labels", f"{corpus.name} has no such label", name, hint))
    if spec.labels is not None and len(set(spec.labels)) != len(spec.labels):
        problems.append(Problem("dataset.labels", "a label stands twice", ", ".join(spec.labels)))
    if problems:
        return problems
    available = len(label_order(corpus, spec))
    wanted = available if spec.num_labels is None else spec.num_labels
    if not 2 <= wanted <= available:
        where = "dataset.labels" if spec.labels is not None else corpus.name
        rule = f"2 to {available}, because {where} has {available} labels"
        problems.append(Problem("axes.num_labels", rule, str(wanted)))
    return problems


def sample_problems(spec: DataSpec, num_labels: int, limit: int) -> list[Problem]:
    """Faults of num_samples, given the largest possible total."""
    total = total_samples(spec, num_labels)
    if total is None or num_labels <= total <= limit:
        return []
    per_label = spec.num_samples_per == "label"
    most = limit // num_labels if per_label else limit
    least = 1 if per_label else num_labels
    unit = "a label" if per_label else "in total"
    rule = f"{least} to {most} training rows {unit}: that is what the data has for {num_labels} labels"
    return [Problem("axes.num_samples", rule, str(spec.num_samples))]
