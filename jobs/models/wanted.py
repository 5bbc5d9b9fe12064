"""Which base is to be loaded, and how: everything that is known before its weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from jobs.models.device import Compute
from jobs.models.families import Family
from jobs.models.four_bit import four_bit_settings
from jobs.spec import ModelSpec, QuantizationSpec


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A base to be loaded."""

    key: str
    spec: ModelSpec
    location: str
    revision: str | None
    config: Any
    """The checkpoint's settings."""
    family: Family
    compute: Compute
    quantization: QuantizationSpec | None
    is_trainable: bool

    @property
    def tokenizer_key(self) -> str:
        """Names the tokenizer in caches."""
        return f"{self.spec.source}:{self.spec.location}:{self.spec.revision}"

    @property
    def initializer_range(self) -> float:
        """Spread of freshly drawn weights."""
        return float(getattr(self.config, "initializer_range", None) or 0.02)

    @property
    def position_offset(self) -> int:
        """Position id of a text's first token."""
        return int(self.config.pad_token_id) + 1 if self.family.positions_follow_padding else 0

    @property
    def max_positions(self) -> int:
        """Tokens that a text may have."""
        return int(getattr(self.config, "max_position_embeddings", 1 << 30)) - self.position_offset

    def loading_settings(self) -> dict[str, Any]:
        """What `from_pretrained` is told."""
        settings: dict[str, Any] = {
            "revision": self.revision,
            "dtype": torch.float32 if self.is_trainable else self.compute.dtype,
            "use_safetensors": True,
            "trust_remote_code": False,  # left open, transformers would ask at a terminal
            "low_cpu_mem_usage": True,
        }
        if self.quantization is not None:
            settings |= four_bit_settings(
                self.quantization,
                dtype=self.compute.dtype,
                skip=self.family.quantisation_skip,
                device=str(self.compute.device),
            )
        return settings
