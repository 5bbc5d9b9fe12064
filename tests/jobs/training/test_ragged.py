"""A pass over one row of all real tokens equals separate, padded passes through unchanged transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from jobs.models.tiny import tiny_folder
from jobs.training.ragged import ROW_STEP, ragged_batch, step_key
from jobs.training.rows import pad_rows, padded_places, unpad_rows
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


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_pooled_tokens_alone_equal_all_tokens(family: str, cache: Path) -> None:
    """The last layer may leave out the tokens that no head sees: vectors and gradients stay."""
    base = tiny_base(family, cache)
    cells = [texts_of(1, 3, 50), texts_of(2, 4, 12), [np.array([7], dtype=np.int32)]]
    found = []
    for pooling in (base.family.pooling, None):
        batch = ragged_batch(
            cells, position_offset=base.position_offset, device=torch.device("cpu"), keys=None, pooling=pooling
        )
        if pooling is None and base.family.pooling == "first":
            starts = np.cumsum([0, *[len(text) for cell in cells for text in cell][:-1]])
            batch.pooled_token_S = torch.from_numpy(starts)
        base.state.batch = batch
        embedding = base.model.get_input_embeddings()
        rows_1NH = embedding(batch.input_ids_N.unsqueeze(0)).detach().requires_grad_(True)
        hidden_ND = base.model(inputs_embeds=rows_1NH, position_ids=batch.position_ids_N.unsqueeze(0))[0][0]
        pooled_SH = hidden_ND[batch.pooled_token_S]
        (pooled_SH * torch.linspace(-1, 1, pooled_SH.shape[1])).sum().backward()
        found.append((pooled_SH.detach(), rows_1NH.grad))
    for narrow, whole in zip(*found, strict=True):
        torch.testing.assert_close(narrow, whole, atol=2e-5, rtol=1e-4)


def test_padding_and_its_gradient_are_exact_inverses() -> None:
    places = padded_places(np.array([3, 1, 2]), torch.device("cpu"))
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)

    def round_trip(rows: torch.Tensor) -> torch.Tensor:
        return unpad_rows(pad_rows(rows, places), places)

    assert torch.equal(round_trip(x), x)
    assert torch.autograd.gradcheck(round_trip, (x,))
    assert torch.equal(pad_rows(x, places)[1, 1:], torch.zeros(2, 3, dtype=torch.float64))


def test_padded_places_give_no_gradient() -> None:
    places = padded_places(np.array([3, 1, 2]), torch.device("cpu"))
    padded = torch.randn(3, 3, 2, requires_grad=True)
    unpad_rows(padded, places).sum().backward()
    assert not places.is_full
    is_row_nR = torch.tensor([[True, True, True], [True, False, False], [True, True, False]])
    assert torch.equal(padded.grad, is_row_nR.unsqueeze(2).expand(3, 3, 2).float())


def test_places_of_a_cell_repeat_its_own_rows_only() -> None:
    places = padded_places(np.array([2, 5, 1]), torch.device("cpu"))
    assert [sorted(set(row)) for row in places.gather_nR.tolist()] == [[0, 1], [2, 3, 4, 5, 6], [7]]


def test_dropout_keys_depend_on_the_cell_alone() -> None:
    first, second = texts_of(1, 3, 9), texts_of(2, 4, 12)
    keys = [step_key(7, 5, 1), step_key(8, 2, 1)]
    device = torch.device("cpu")
    alone = ragged_batch([first], position_offset=0, device=device, keys=keys[:1])
    behind = ragged_batch([second, first], position_offset=0, device=device, keys=keys[::-1])
    own, before = int(alone.tokens_n[0]), int(behind.tokens_n[0])
    assert torch.equal(alone.row_keys_N[:own], behind.row_keys_N[before : before + own])
    assert len(set(behind.row_keys_N.tolist())) == behind.num_rows


@pytest.mark.parametrize("sizes", [[3], [1, 2], [1, 1, 1]])
def test_groups_are_filled_up_and_fillers_belong_to_nobody(sizes: list[int]) -> None:
    cells = [texts_of(1, 3, 9), texts_of(2, 4, 12), texts_of(3, 1, 40)]
    batch = ragged_batch(cells, position_offset=0, device=torch.device("cpu"), keys=None, group_sizes=sizes)
    assert all((group.rows.stop - group.rows.start) % ROW_STEP == 0 for group in batch.groups)
    assert batch.tokens_n.tolist() == [sum(map(len, cell)) for cell in cells]
    assert batch.rows_n.sum() == batch.num_rows == batch.groups[-1].rows.stop
    ids = batch.input_ids_N.tolist()
    for text, last in zip((text for cell in cells for text in cell), batch.pooled_token_S.tolist(), strict=True):
        assert ids[last + 1 - len(text) : last + 1] == text.tolist()
