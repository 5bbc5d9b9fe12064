"""A pass over one row of all real tokens equals separate, padded passes through unchanged transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from jobs.models.tiny import tiny_folder
from jobs.training.ragged import pad_rows, ragged_batch, step_key, unpad_rows
from tests.jobs.training.helpers import ALL_FAMILIES, tiny_base


def texts_of(seed: int, count: int, longest: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(150, 900, rng.integers(1, longest)).astype(np.int32) for _ in range(count)]


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_hidden_states_equal_unchanged_transformers(family: str, cache: Path) -> None:
    base = tiny_base(family, cache)
    cells = [texts_of(1, 3, 50), texts_of(2, 4, 12), texts_of(3, 1, 60)]
    batch = ragged_batch(cells, position_offset=base.position_offset, device=torch.device("cpu"), keys=None)
    base.state.batch = batch
    with torch.no_grad():
        ours_ND = base.model(
            input_ids=batch.input_ids_N.unsqueeze(0), position_ids=batch.position_ids_N.unsqueeze(0)
        ).last_hidden_state[0]
    reference = AutoModel.from_pretrained(tiny_folder(family, cache), attn_implementation="eager").eval()
    start = 0
    for text in (text for cell in cells for text in cell):
        with torch.no_grad():
            expected = reference(input_ids=torch.tensor(text, dtype=torch.int64).unsqueeze(0)).last_hidden_state[0]
        torch.testing.assert_close(ours_ND[start : start + len(text)], expected, atol=2e-5, rtol=1e-4)
        start += len(text)


def test_padding_and_its_gradient_are_exact_inverses() -> None:
    cells = [texts_of(1, 2, 9), texts_of(2, 3, 5)]
    batch = ragged_batch(cells, position_offset=0, device=torch.device("cpu"), keys=None)
    x = torch.randn(batch.num_tokens, 3, dtype=torch.float64, requires_grad=True)

    def round_trip(rows: torch.Tensor) -> torch.Tensor:
        padded = pad_rows(rows, batch.attention_gather_SL, batch.attention_scatter_N)
        return unpad_rows(padded.flatten(0, 1), batch.attention_scatter_N)

    assert torch.equal(round_trip(x), x)
    assert torch.autograd.gradcheck(round_trip, (x,))


def test_padded_places_give_no_gradient() -> None:
    cells = [texts_of(1, 1, 9), [np.arange(150, 170, dtype=np.int32)]]
    batch = ragged_batch(cells, position_offset=0, device=torch.device("cpu"), keys=None)
    assert batch.cell_gather_nR is not None
    places = torch.randn(batch.cell_gather_nR.numel(), 2, requires_grad=True)
    unpad_rows(places, batch.cell_scatter_N).sum().backward()
    padding = torch.ones(places.shape[0], dtype=torch.bool)
    padding[batch.cell_scatter_N] = False
    assert padding.any()
    assert torch.equal(places.grad[padding], torch.zeros_like(places.grad[padding]))


def test_dropout_keys_depend_on_the_cell_alone() -> None:
    first, second = texts_of(1, 3, 9), texts_of(2, 4, 12)
    keys = [step_key(7, 5, 1), step_key(8, 2, 1)]
    device = torch.device("cpu")
    alone = ragged_batch([first], position_offset=0, device=device, keys=keys[:1])
    behind = ragged_batch([second, first], position_offset=0, device=device, keys=keys[::-1])
    assert torch.equal(alone.row_keys_N, behind.row_keys_N[-alone.num_tokens :])
    assert len(set(behind.row_keys_N.tolist())) == behind.num_tokens
