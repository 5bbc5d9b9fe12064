"""Fused norms: the numbers of the modules that they replace, and no others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from jobs.training.rms_norm import FusedRmsNorm, fuse_rms_norms

WIDTH = 48


class OtherRMSNorm(nn.Module):
    """Bears the name, computes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.eps = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * 2.0


def model_with(norm: nn.Module, dtype: torch.dtype) -> nn.Module:
    with torch.no_grad():
        norm.weight.normal_(0.5, 0.2)  # type: ignore[operator, union-attr]
    return nn.ModuleDict({"norm": norm}).to(dtype).requires_grad_(False)


@pytest.mark.parametrize("kind", [Qwen2RMSNorm, LlamaRMSNorm, Gemma3RMSNorm])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_the_same_numbers_and_gradients(kind: type[nn.Module], dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    model = model_with(kind(WIDTH, eps=1e-5), dtype)
    theirs = model["norm"]  # type: ignore[index]
    assert fuse_rms_norms(model) == 1
    ours = model["norm"]  # type: ignore[index]
    assert isinstance(ours, FusedRmsNorm)
    assert ours.weight is theirs.weight, "strategies find weights by name and identity"
    outputs = {}
    for name, norm in (("theirs", theirs), ("ours", ours)):
        x = (torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(1)) * 3).to(dtype).requires_grad_(True)
        y = norm(x)
        y.float().pow(2).sum().backward()
        outputs[name] = y, x.grad
    for own, expected in zip(outputs["ours"], outputs["theirs"], strict=True):
        assert own.dtype == expected.dtype
        torch.testing.assert_close(own.float(), expected.float(), rtol=tolerance, atol=10 * tolerance)


def test_what_only_bears_the_name_stays() -> None:
    model = nn.ModuleDict({"norm": OtherRMSNorm()})
    assert fuse_rms_norms(model) == 0
    assert isinstance(model["norm"], OtherRMSNorm)
