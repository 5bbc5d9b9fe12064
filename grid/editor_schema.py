"""The config as a JSON schema: completion and checks while somebody types, in any editor that knows YAML schemas.

Made from the sections that a config is checked by, so that both say the same; what only the whole file shows
(combinations, exclusions, values that data cannot supply) stays with `finegrid plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from grid.config_axes import MODEL_STRATEGIES, canonical_axis
from grid.config_schema import SECTIONS, ConfigFile
from grid.known_models import KNOWN_MODELS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ALL: Final = "all"


def config_schema() -> dict[str, Any]:
    """The schema of a config file.

    Returns:
        a JSON schema (draft 2020-12).
    """
    schema = ConfigFile.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    properties = schema["properties"]
    properties["axes"] = _axes(definitions)
    return {"$schema": DIALECT, **schema, "title": "FineGrid config"}


def _axes(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Every axis with the values that its key takes; keys of sections with and without the section's name."""
    axes: dict[str, Any] = {
        "model": _list_of(
            {"anyOf": [{"enum": sorted(KNOWN_MODELS)}, {"type": "string"}]},
            "Known names, owner/name on the hub, or folders with config.json.",
        ),
        "strategy": _list_of({"enum": list(MODEL_STRATEGIES)}, "How a model is tuned."),
        "seed": _list_of({"type": "integer", "minimum": 0}, "Draws the training rows and trains."),
        "variant": _list_of({"type": "string"}, "Names of `variants`."),
    }
    for section, model in SECTIONS.items():
        for key, value in definitions[model.__name__]["properties"].items():
            axis = _list_of({name: part for name, part in value.items() if name != "default"}, f"`{section}.{key}`")
            axes[f"{section}.{key}"] = axis
            axes |= {key: axis} if canonical_axis(key) == (section, key) else {}
    for key in ("num_labels", "num_samples"):
        axes[key] = {"anyOf": [axes[key], {"const": _ALL}]}
    return {
        "type": "object",
        "description": "What varies: every combination of the values is a cell.",
        "properties": axes,
        "additionalProperties": False,
    }


def _list_of(items: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": dict(items), "minItems": 1, "uniqueItems": True, "description": description}
