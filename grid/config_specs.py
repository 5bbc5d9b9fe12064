"""From checked sections of a config to the frozen specs of `jobs.spec`: words become values, lists become tuples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from grid.config_schema import CHANGEABLE, SECTIONS, CheckpointSection, ComputeSection, validate
from grid.devices import ResourceRequest
from grid.label_groups import any_word_of, label_groups
from grid.paths import expanded
from jobs.errors import ConfigError
from jobs.spec import CheckpointSpec, ComputeSpec


def given(section: Any) -> dict[str, Any]:
    """The keys of a section that a config declares."""
    values: dict[str, Any] = section.model_dump(exclude_unset=True)
    return values


def section_spec(spec: Callable[..., Any], section: str, values: Mapping[str, Any]) -> Any:
    """Build a spec object from the declared keys of its section; the others keep the spec's defaults."""
    return spec(**{key: _converted(section, key, value) for key, value in values.items()})


def declared_values(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn declared keys of a section, already checked, into fields of its spec.

    Args:
        section: one of SECTIONS or CHANGEABLE.
        values: as written: on an axis, in a variant.

    Returns:
        the fields, numbers in the type of the field: a learning rate of 1 is 1.0.
    """
    required = {"source": "builtin"} if section == "dataset" else {}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    model, problems = validate({**SECTIONS, **CHANGEABLE}[section], {**required, **plain})
    if model is None:
        raise ConfigError(problems)
    return {key: _converted(section, key, getattr(model, key)) for key in values}


def _converted(section: str, key: str, value: Any) -> Any:
    if key in ("num_labels", "num_samples") and value == "all":
        return None
    if key == "eval_every" and value == "epoch":
        return None
    if section == "dataset" and key in ("id", "path"):
        return "" if value is None else value if key == "id" else str(expanded(value).resolve())
    if key == "label_groups" and value is not None:
        return label_groups(value)
    if key in ("keep_matching", "drop_matching") and isinstance(value, list):
        return any_word_of(value)
    return tuple(value) if isinstance(value, list) else value


def compute_spec(section: ComputeSection, checkpoint: CheckpointSection) -> ComputeSpec:
    """How cells are computed and saved."""
    return ComputeSpec(
        precision=section.precision,
        base=section.base,
        numerics=section.numerics,
        device=section.device,
        slots=None if section.slots == "auto" else section.slots,
        reload_check=section.reload_check,
        cost_probe=section.cost_probe,
        checkpoint=CheckpointSpec(
            every_s=None if checkpoint.every_s in ("off", None) else float(checkpoint.every_s), keep=checkpoint.keep
        ),
    )


def resource_request(section: ComputeSection) -> ResourceRequest:
    """What a config asks for each trial."""
    return ResourceRequest(
        cpus_per_trial=None if section.cpus_per_trial == "auto" else section.cpus_per_trial,
        gpus_per_trial=None if section.gpus_per_trial == "auto" else section.gpus_per_trial,
        accelerator_type=None if section.accelerator_type == "auto" else section.accelerator_type,
    )
